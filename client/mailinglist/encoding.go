package mailinglist

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// The encodings of lists, as Options.Encoding names them.
const (
	encodingUTF8    = "utf-8"
	encodingUTF16   = "utf-16"
	encodingWindows = "windows-1252"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// parseEncoding returns the encoding of a name. Latin-1 is read as Windows-1252, as browsers do: it has the same letters, and more.
func parseEncoding(name string) (string, error) {
	switch strings.ToLower(name) {
	case "":
		return "", nil
	case "utf-8", "utf8":
		return encodingUTF8, nil
	case "utf-16", "utf16":
		return encodingUTF16, nil
	case "windows-1252", "cp1252", "iso-8859-1", "latin1":
		return encodingWindows, nil
	}
	return "", fmt.Errorf("encoding %q: choose %s, %s or %s", name, encodingUTF8, encodingWindows, encodingUTF16)
}

// peeked is how much of a file is looked at when it can't be read twice.
const peeked = 64 << 10

// markedEncoding returns the encoding that a byte order mark at the start of a file tells, or nothing.
func markedEncoding(start []byte) string {
	switch {
	case bytes.HasPrefix(start, byteOrderMark):
		return encodingUTF8
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		return encodingUTF16
	}
	return ""
}

// guessEncoding reads a file without a byte order mark to its end, in constant memory. It is UTF-8 with broken rows rather than
// Windows-1252 if more of what lies outside ASCII is valid than isn't: in Windows-1252, umlauts hardly ever look like UTF-8.
func guessEncoding(r io.Reader) (string, error) {
	valid, invalid := 0, 0
	in := bufio.NewReaderSize(r, peeked)
	for {
		c, size, err := in.ReadRune()
		switch {
		case errors.Is(err, io.EOF):
			if invalid > valid {
				return encodingWindows, nil
			}
			return encodingUTF8, nil
		case err != nil:
			return "", err
		case c == utf8.RuneError && size == 1:
			invalid++
		case size > 1:
			valid++
		}
	}
}

// decoded returns the text of a file as UTF-8, without its byte order mark.
func decoded(in *bufio.Reader, encoding string) (io.Reader, error) {
	switch encoding {
	case encodingWindows:
		return transform.NewReader(in, charmap.Windows1252.NewDecoder()), nil
	case encodingUTF16:
		start, err := in.Peek(2)
		if markedEncoding(start) != encodingUTF16 {
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			return nil, errors.New("UTF-16 needs a byte order mark at the start: save the file as UTF-8")
		}
		return transform.NewReader(in, unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder()), nil
	}
	start, err := in.Peek(len(byteOrderMark))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.Equal(start, byteOrderMark) {
		if _, err := in.Discard(len(start)); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// legible says whether the cells of a row came out of the encoding whole. Decoders leave U+FFFD for what they don't know; UTF-8 is
// passed through, and checked here.
func legible(text, encoding string) bool {
	if encoding == encodingUTF8 {
		return utf8.ValidString(text)
	}
	return !strings.ContainsRune(text, utf8.RuneError)
}
