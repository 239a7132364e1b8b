package mailinglist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Writer writes a list back: its columns as they were read, then further ones. The delimiter and line ends are those of the first
// file. The text is UTF-8, with a byte order mark if any file had one or was in another encoding: spreadsheets take UTF-8 without one
// for Windows-1252.
type Writer struct {
	out       *bufio.Writer
	delimiter string
	lineEnd   string
	columns   int
	extra     int
	own       []int // where the further columns stand already, in a list that was written with them before
}

// ErrUnsplit is returned by Writer.Write for a row whose Fields are nil: it couldn't be split into the list's columns.
var ErrUnsplit = errors.New("the row couldn't be split into columns, and can't be written back")

// NewWriter returns a writer for the rows of the reader, and writes the header. The names of the further columns must differ from
// those of the list, unless the list has all of them: then it was written so before, and their values are replaced.
func NewWriter(w io.Writer, r *Reader, extra ...string) (*Writer, error) {
	if len(r.header) == 0 {
		return nil, errors.New("this list has no columns, and can't be written back")
	}
	var own []int
	for _, name := range extra {
		if at := slices.IndexFunc(r.header, sameName(name)); at >= 0 {
			own = append(own, at)
		}
	}
	if len(own) > 0 && len(own) < len(extra) {
		return nil, fmt.Errorf("the list has a column %q already: rename it", r.header[own[0]])
	}
	first := r.files[0]
	out := &Writer{
		out: bufio.NewWriterSize(w, peeked), delimiter: first.delimiter, lineEnd: first.lineEnd,
		columns: len(r.header), extra: len(extra), own: own,
	}
	if out.lineEnd == "" {
		out.lineEnd = "\n"
	}
	for _, f := range r.files {
		if f.marked || f.encoding != encodingUTF8 {
			if _, err := out.out.Write(byteOrderMark); err != nil {
				return nil, err
			}
			break
		}
	}
	if len(own) > 0 {
		extra = nil
	}
	if err := out.write(r.header, extra); err != nil {
		return nil, err
	}
	return out, nil
}

// Write writes a row with the values of the further columns. A value that a spreadsheet would take for a formula is written with an
// apostrophe before it; the list's own cells are left as they are.
func (w *Writer) Write(row Row, extra ...string) error {
	if row.Fields == nil {
		return ErrUnsplit
	}
	if len(row.Fields) != w.columns || len(extra) != w.extra {
		return fmt.Errorf("a row of %d and %d cells doesn't fit a list of %d and %d columns",
			len(row.Fields), len(extra), w.columns, w.extra)
	}
	harmless := make([]string, len(extra))
	for i, value := range extra {
		harmless[i] = value
		if value != "" && strings.ContainsRune("=+-@\t\r", rune(value[0])) {
			harmless[i] = "'" + value
		}
	}
	if len(w.own) == 0 {
		return w.write(row.Fields, harmless)
	}
	fields := slices.Clone(row.Fields)
	for i, at := range w.own {
		fields[at] = harmless[i]
	}
	return w.write(fields, nil)
}

// Flush writes what is buffered. Call it after the last row.
func (w *Writer) Flush() error { return w.out.Flush() }

func (w *Writer) write(fields, extra []string) error {
	for i, cells := range [][]string{fields, extra} {
		for j, cell := range cells {
			if i+j > 0 {
				w.out.WriteString(w.delimiter) //nolint:errcheck // a bufio.Writer keeps its error
			}
			w.out.WriteString(w.quote(cell)) //nolint:errcheck // a bufio.Writer keeps its error
		}
	}
	_, err := w.out.WriteString(w.lineEnd)
	return err
}

// quote returns a cell as it stands in the file. What begins or ends with space is quoted, because some tools trim what isn't.
func (w *Writer) quote(cell string) string {
	if !strings.Contains(cell, w.delimiter) && !strings.ContainsAny(cell, "\"\r\n") && strings.TrimSpace(cell) == cell {
		return cell
	}
	return `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
}
