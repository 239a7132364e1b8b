package mailinglist

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// Row is a row of a list.
type Row struct {
	File   string // the file's name, without its folder
	Line   int    // where the row begins in the file, from 1
	Number uint64 // of all rows of the reader, from 1
	// Subject is whom the row is about, as the list says it. It is set in unusable rows too, where it could be read.
	Subject string
	// Duplicate is set if a usable row before had the same subject. E-mail addresses are the same in any letter case.
	Duplicate bool
	// Events are what the row says happened. There are none if only subjects are read, or if the row is a contact of Mailchimp's who
	// never subscribed.
	Events []*consentv1.Event
	// Fields are the row's cells, one for each column of Reader.Header. Nil if the row couldn't be split, and for NDJSON.
	Fields []string
	// Err is why the row can't be used, and wraps a *RowError; or nil.
	Err error
	// LeftOut is set if only a part of the row can be used: Events are each "no" that the row says, and nothing else. It says why, and
	// wraps a *RowError.
	LeftOut error
}

// Reader reads the rows of one or several lists. It isn't safe for concurrent use.
type Reader struct {
	library
	header  []string
	current int // the file being read
	rows    rowSource
	number  uint64
	read    int64 // bytes of the files that are done
	counted *countingReader
	seen    map[uint64]struct{}
	seed    maphash.Seed
	repeats uint64
}

// rowSource gives the rows of one file, and io.EOF after the last.
type rowSource interface {
	next() (Row, error)
	close() error
}

// Open returns a reader of the lists that the paths name: files, ZIPs, folders, or "-" for standard input. Every file is checked
// first. The error says which file can't be read, is empty or lacks which column; nothing was read then.
func Open(paths []string, o Options) (*Reader, error) {
	if err := o.normalize(); err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, errors.New("name a list to read")
	}
	r := &Reader{library: library{options: &o}, seen: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
	if err := r.check(paths); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Reader) check(paths []string) error {
	for _, name := range paths {
		if err := r.add(name); err != nil {
			return err
		}
	}
	for _, f := range r.files {
		if err := f.inspect(r.options); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		f.places = r.place(f.header)
	}
	return nil
}

// place says where the columns of a file stand under the header of all, which grows by those that are new. A name that a file has
// twice stands there twice.
func (r *Reader) place(header []string) []int {
	taken := map[int]bool{}
	places := make([]int, len(header))
	for i, name := range header {
		at := slices.IndexFunc(r.header, sameName(name))
		for at >= 0 && taken[at] {
			next := slices.IndexFunc(r.header[at+1:], sameName(name))
			if next < 0 {
				at = next
				break
			}
			at += 1 + next
		}
		if at < 0 {
			at = len(r.header)
			r.header = append(r.header, name)
		}
		places[i], taken[at] = at, true
	}
	return places
}

// Header returns the names of the columns: those of all files, each once, in the order in which they come up. Nil for NDJSON.
func (r *Reader) Header() []string { return slices.Clone(r.header) }

// Duplicates returns how many usable rows so far had the subject of a row before.
func (r *Reader) Duplicates() uint64 { return r.repeats }

// Progress returns how many bytes of the lists were read, and how many there are: 0 if that isn't known.
func (r *Reader) Progress() (done, total int64) {
	for _, f := range r.files {
		if f.size == 0 {
			return r.done(), 0
		}
		total += f.size
	}
	return r.done(), total
}

func (r *Reader) done() int64 {
	if r.counted == nil {
		return r.read
	}
	return r.read + r.counted.bytes
}

// Next returns the next row, and io.EOF after the last. Any other error ends the reading: a file couldn't be read on, or isn't what
// it was when it was opened. What is wrong with a row is in the row.
func (r *Reader) Next() (Row, error) {
	for r.current < len(r.files) {
		f := r.files[r.current]
		row, err := r.nextOf(f)
		switch {
		case err == nil:
			r.finish(&row, f)
			return row, nil
		case errors.Is(err, io.EOF):
			r.read, r.counted = r.done(), nil
			r.current++
		default:
			return Row{}, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return Row{}, io.EOF
}

// nextOf opens the file if it isn't open, and closes it after its last row.
func (r *Reader) nextOf(f *file) (Row, error) {
	if r.rows == nil {
		rows, counted, err := f.rows(r.options)
		if err != nil {
			return Row{}, err
		}
		r.rows, r.counted = rows, counted
	}
	row, err := r.rows.next()
	if err == nil {
		return row, nil
	}
	if closeErr := r.closeRows(); closeErr != nil && errors.Is(err, io.EOF) {
		return Row{}, closeErr
	}
	return Row{}, err
}

func (r *Reader) closeRows() error {
	if r.rows == nil {
		return nil
	}
	err := r.rows.close()
	r.rows = nil
	return err
}

// finish gives a row what only the reader knows.
func (r *Reader) finish(row *Row, f *file) {
	r.number++
	row.File, row.Number = f.name, r.number
	row.Fields = r.align(row.Fields, f)
	if row.Err != nil {
		row.Events = nil
		return
	}
	if r.options.Unmarked {
		return
	}
	key := maphash.String(r.seed, normalSubject(row.Subject))
	if _, row.Duplicate = r.seen[key]; row.Duplicate {
		r.repeats++
	}
	r.seen[key] = struct{}{}
}

// align puts the cells of a file's row under the header of all files.
func (r *Reader) align(cells []string, f *file) []string {
	if cells == nil || len(r.files) == 1 {
		return cells
	}
	aligned := make([]string, len(r.header))
	for i, at := range f.places {
		aligned[at] = cells[i]
	}
	return aligned
}

// Close closes what is open. A reader that was read to its end or not needs it alike.
func (r *Reader) Close() error {
	return errors.Join(r.closeRows(), r.close())
}
