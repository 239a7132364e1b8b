package mailinglist

import (
	"errors"
	"io"
	"strings"
)

// record is a row of a file, split into cells.
type record struct {
	line  int // where it begins
	cells []string
	end   string // of its last line
	err   error  // why it couldn't be split; then cells is nil
}

// blank says whether the row is an empty line, which is no row at all.
func (r record) blank() bool {
	return r.err == nil && len(r.cells) == 1 && strings.TrimSpace(r.cells[0]) == ""
}

// recordReader splits lines into cells as RFC 4180 has it: cells may be quoted, and then hold delimiters, doubled quotes and line
// ends. encoding/csv isn't used because there a stray quote swallows the rest of the file, in memory without bound, and because it
// rewrites line ends inside cells.
type recordReader struct {
	lines     *lineReader
	delimiter string
}

// next returns the next row, or io.EOF after the last. A stray quote costs the row that it stands in and no other: reading goes on
// with the line after it. Lines are split twice at most on the whole: a row that begins with a stray quote reaches no further than the
// next line with an odd number of quotes, and only from there can another one reach on.
func (r *recordReader) next() (record, error) {
	first, err := r.lines.next()
	if err != nil {
		return record{}, err
	}
	if first.long {
		return record{line: first.number, err: errLong}, nil
	}
	split := splitter{delimiter: r.delimiter}
	split.add(first.text)
	taken, size := []line{first}, len(first.text)
	for split.quoted() {
		more, err := r.lines.next()
		if err == nil {
			taken = append(taken, more)
			size += len(more.text)
		}
		if err != nil || more.long || size > longestRow {
			if err != nil && !errors.Is(err, io.EOF) {
				return record{}, err
			}
			r.lines.giveBack(taken[1:])
			return record{line: first.number, err: errUnclosed}, nil
		}
		split.add(taken[len(taken)-2].end + more.text)
	}
	if split.place == garbled {
		r.lines.giveBack(taken[1:])
		return record{line: first.number, err: errGarbled}, nil
	}
	return record{line: first.number, cells: split.cells(), end: taken[len(taken)-1].end}, nil
}

// place is where in a cell a splitter is.
type place uint8

const (
	cellStart place = iota
	bareCell
	quotedCell
	afterQuote
	garbled
)

// splitter makes cells of a row's lines.
type splitter struct {
	delimiter string
	done      []string
	cell      strings.Builder
	place     place
}

// quoted says whether the row goes on in the next line.
func (s *splitter) quoted() bool { return s.place == quotedCell }

// add takes a line of the row. Lines after the first come with the end of the line before.
func (s *splitter) add(text string) {
	for text != "" && s.place != garbled {
		switch s.place {
		case cellStart:
			s.place = bareCell
			if text[0] == '"' {
				s.place, text = quotedCell, text[1:]
			}
		case bareCell:
			text = s.addBare(text)
		case quotedCell:
			text = s.addQuoted(text)
		default:
			rest, found := strings.CutPrefix(text, s.delimiter)
			if !found {
				s.place = garbled
				return
			}
			s.finish()
			text = rest
		}
	}
}

func (s *splitter) addBare(text string) string {
	before, rest, found := strings.Cut(text, s.delimiter)
	s.cell.WriteString(before)
	if found {
		s.finish()
	}
	return rest
}

func (s *splitter) addQuoted(text string) string {
	before, rest, found := strings.Cut(text, `"`)
	s.cell.WriteString(before)
	if !found {
		return ""
	}
	if doubled, again := strings.CutPrefix(rest, `"`); again {
		s.cell.WriteByte('"')
		return doubled
	}
	s.place = afterQuote
	return rest
}

func (s *splitter) finish() {
	s.done = append(s.done, s.cell.String())
	s.cell.Reset()
	s.place = cellStart
}

// cells returns the row's cells, once its last line was added.
func (s *splitter) cells() []string {
	s.finish()
	return s.done
}
