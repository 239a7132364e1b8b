package mailinglist

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// longestRow is how many bytes a row may have. Mailchimp's notes are the longest cells seen, at some thousand.
const longestRow = 256 << 10

var (
	errLong     = rowError(reasonUnreadableRow, "the row is longer than %d KiB", longestRow>>10)
	errUnclosed = rowError(reasonUnreadableRow, "a quote is opened and never closed")
	errGarbled  = rowError(reasonUnreadableRow, "something follows a closing quote within a cell: quotes inside a cell are doubled")
	errEncoding = rowError(reasonUnreadableRow, "the row holds bytes that aren't of the file's encoding")
)

// line is one line of a file.
type line struct {
	number int
	text   string // without its end
	end    string // "\n", "\r\n", or nothing at the end of the file
	long   bool   // it was longer than longestRow, and its text is left out
}

// lineReader reads lines of bounded length, and takes lines back.
type lineReader struct {
	in     *bufio.Reader
	number int
	back   []line
}

// next returns the next line, or io.EOF after the last.
func (r *lineReader) next() (line, error) {
	if len(r.back) > 0 {
		l := r.back[0]
		r.back = r.back[1:]
		return l, nil
	}
	text, long, err := r.read()
	if err != nil && (!errors.Is(err, io.EOF) || (len(text) == 0 && !long)) {
		return line{}, err
	}
	r.number++
	l := line{number: r.number, long: long}
	if !long {
		l.text, l.end = cutEnd(text)
	}
	return l, nil
}

// read returns a line with its end. Of one that is too long it reads all and returns nothing.
func (r *lineReader) read() (text string, long bool, err error) {
	var whole []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if long = long || len(whole)+len(part) > longestRow; !long {
			whole = append(whole, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if long {
			whole = nil
		}
		return string(whole), long, err
	}
}

// giveBack has next return these lines again, before all others.
func (r *lineReader) giveBack(lines []line) {
	r.back = append(lines, r.back...)
}

func cutEnd(text string) (body, end string) {
	body, found := strings.CutSuffix(text, "\n")
	if !found {
		return body, ""
	}
	if body, found = strings.CutSuffix(body, "\r"); found {
		return body, "\r\n"
	}
	return body, "\n"
}
