package mailinglist

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

var (
	errEmpty   = errors.New("the file is empty")
	errBinary  = errors.New("the file isn't text: save it as CSV")
	errChanged = errors.New("the file's header changed since it was checked: leave the file alone while it is read")
)

// layout knows what the columns of a file mean.
type layout interface {
	// read gives the row its subject, its events, or why there are none.
	read(row *Row, cells []string)
}

// inspect finds out how a file is written, and whether it has the columns that are needed.
func (f *file) inspect(o *Options) error {
	if f.sums {
		if err := f.readThrough(); err != nil {
			return err
		}
	}
	if err := f.inspectEncoding(o); err != nil {
		return err
	}
	in, err := f.sample()
	if err != nil {
		return err
	}
	err = f.inspectText(o, in)
	return errors.Join(err, in.Close())
}

// readThrough reads a file that tells whether it is whole, so that what isn't is known before its first row is used.
func (f *file) readThrough() error {
	in, err := f.open()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return errors.Join(err, in.Close())
}

func (f *file) inspectText(o *Options, in io.Reader) error {
	text, err := decoded(bufio.NewReaderSize(in, peeked), f.encoding)
	if err != nil {
		return err
	}
	lines := &lineReader{in: bufio.NewReaderSize(text, peeked)}
	if o.Format == NDJSON {
		_, err := lines.next()
		return orEmpty(err)
	}
	return f.inspectHeader(o, lines)
}

func (f *file) inspectEncoding(o *Options) error {
	in, err := f.sample()
	if err != nil {
		return err
	}
	start := bufio.NewReaderSize(in, peeked)
	mark, err := start.Peek(len(byteOrderMark))
	if err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(err, in.Close())
	}
	told := markedEncoding(mark)
	f.marked = told != ""
	switch {
	case o.Encoding != "":
		f.encoding = o.Encoding
	case f.marked:
		f.encoding = told
	default:
		f.encoding, err = guessEncoding(start)
		return errors.Join(err, in.Close())
	}
	return in.Close()
}

// sample opens the file for a look at it: what can be read once is looked at only as far as that is possible without reading.
func (f *file) sample() (io.ReadCloser, error) {
	in, err := f.open()
	if err != nil || !f.once {
		return in, err
	}
	once, peeks := in.(unclosed)
	if !peeks {
		return in, nil
	}
	start, err := once.Peek(peeked)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(start) == peeked {
		// A character cut in two would pass for one of another encoding.
		start = start[:bytes.LastIndexByte(start, '\n')+1]
	}
	return io.NopCloser(bytes.NewReader(start)), nil
}

func (f *file) inspectHeader(o *Options, lines *lineReader) error {
	first, err := firstLine(lines)
	if err != nil {
		return orEmpty(err)
	}
	if strings.ContainsRune(first.text, 0) {
		return errBinary
	}
	lines.giveBack([]line{first})
	f.delimiter = string(o.Delimiter)
	if o.Delimiter == 0 {
		f.delimiter = guessDelimiter(first.text)
	}
	head, err := (&recordReader{lines: lines, delimiter: f.delimiter}).next()
	if err != nil {
		return err
	}
	if head.err != nil {
		return fmt.Errorf("line %d, which names the columns: %w", head.line, head.err)
	}
	if !legible(strings.Join(head.cells, ""), f.encoding) {
		return fmt.Errorf("line %d, which names the columns: %w", head.line, errEncoding)
	}
	f.header, f.lineEnd = head.cells, head.end
	if o.SubjectsOnly && o.Column == "" && len(f.header) == 1 && !namesSubject(f.header[0]) {
		f.header, f.headless = []string{"subject"}, true
	}
	f.layout, err = newLayout(o, f)
	return err
}

func newLayout(o *Options, f *file) (layout, error) {
	if o.Format == Mailchimp {
		return newMailchimpLayout(o, f)
	}
	return newColumnLayout(o, f)
}

// firstLine passes over the empty lines at the start of a file.
func firstLine(lines *lineReader) (line, error) {
	for {
		l, err := lines.next()
		if err != nil || l.long || strings.TrimSpace(l.text) != "" {
			return l, err
		}
	}
}

func orEmpty(err error) error {
	if errors.Is(err, io.EOF) {
		return errEmpty
	}
	return err
}

// guessDelimiter returns the one that a header has most of, outside quotes.
func guessDelimiter(header string) string {
	var bare strings.Builder
	for i, part := range strings.Split(header, `"`) {
		if i%2 == 0 {
			bare.WriteString(part)
		}
	}
	best, most := ",", 0
	for _, delimiter := range []string{",", ";", "\t"} {
		if n := strings.Count(bare.String(), delimiter); n > most {
			best, most = delimiter, n
		}
	}
	return best
}

// rows opens the file for reading.
func (f *file) rows(o *Options) (rowSource, *countingReader, error) {
	in, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	counted := &countingReader{in: in}
	text, err := decoded(bufio.NewReaderSize(counted, peeked), f.encoding)
	if err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	lines := &lineReader{in: bufio.NewReaderSize(text, peeked)}
	if o.Format == NDJSON {
		return &eventRows{lines: lines, file: f, options: o, closer: in}, counted, nil
	}
	rows := &tableRows{records: recordReader{lines: lines, delimiter: f.delimiter}, file: f, closer: in}
	if err := rows.skipHeader(); err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	return rows, counted, nil
}

// countingReader counts what was read, for the progress.
type countingReader struct {
	in    io.Reader
	bytes int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.bytes += int64(n)
	return n, err
}

// tableRows are the rows of a Mailchimp export or CSV.
type tableRows struct {
	records recordReader
	file    *file
	closer  io.Closer
}

func (t *tableRows) close() error { return t.closer.Close() }

func (t *tableRows) skipHeader() error {
	if t.file.headless {
		return nil
	}
	first, err := firstLine(t.records.lines)
	if err != nil {
		return err
	}
	t.records.lines.giveBack([]line{first})
	head, err := t.records.next()
	if err == nil && !slices.Equal(head.cells, t.file.header) {
		return errChanged
	}
	return err
}

func (t *tableRows) next() (Row, error) {
	for {
		rec, err := t.records.next()
		if err != nil {
			return Row{}, err
		}
		if !rec.blank() {
			return t.row(rec), nil
		}
	}
}

func (t *tableRows) row(rec record) Row {
	row := Row{Line: rec.line, Err: rec.err}
	if rec.err != nil {
		return row
	}
	columns := len(t.file.header)
	cells := rec.cells
	for len(cells) > columns && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1] // spreadsheets leave empty cells behind
	}
	if len(cells) != columns {
		row.Err = rowError(reasonUnreadableRow, "the row has %d cells, and the header %d", len(cells), columns)
		return row
	}
	row.Fields = cells
	if !legible(strings.Join(cells, ""), t.file.encoding) {
		row.Err = errEncoding
		row.Fields = make([]string, columns)
		for i, cell := range cells {
			row.Fields[i] = strings.ToValidUTF8(cell, "\uFFFD")
		}
		return row
	}
	t.file.layout.read(&row, cells)
	return row
}
