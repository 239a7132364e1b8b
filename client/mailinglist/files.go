package mailinglist

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// file is one list: a file, an entry of a ZIP, or standard input.
type file struct {
	name string // what messages and references call it: the last part of its path
	size int64  // in bytes; 0 if unknown
	open func() (io.ReadCloser, error)
	once bool // it can't be opened a second time
	sums bool // it carries a checksum, which the end of reading it compares

	encoding  string
	marked    bool // it began with a byte order mark
	delimiter string
	lineEnd   string
	headless  bool // its first row is a subject
	header    []string
	places    []int // of its columns under the header of all files
	layout    layout
}

// endings are the ends of names that lists have, where a folder or ZIP holds other files too.
var endings = map[Format][]string{
	Mailchimp: {".csv"},
	CSV:       {".csv", ".tsv", ".txt"},
	NDJSON:    {".ndjson", ".jsonl"},
}

// library is the files of one reader, and the ZIPs among them that stay open.
type library struct {
	options *Options
	files   []*file
	zips    []io.Closer
}

// add takes what a path names: a file, a ZIP, a folder's lists, or standard input.
func (l *library) add(name string) error {
	if name == "-" {
		return l.addStdin()
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return l.addFolder(name)
	}
	if !info.Mode().IsRegular() { // it would be empty when it is read again
		return fmt.Errorf("%s is a pipe or a device, which can be read only once: give it as standard input, and name that -", name)
	}
	return l.addFile(name, info.Size())
}

func (l *library) addStdin() error {
	if l.options.Stdin == nil {
		return errors.New("there is no standard input to read a list from")
	}
	if slices.ContainsFunc(l.files, func(f *file) bool { return f.once }) {
		return errors.New("standard input is named twice, and can be read once")
	}
	in := bufio.NewReaderSize(l.options.Stdin, peeked)
	l.files = append(l.files, &file{name: "standard input", once: true, open: func() (io.ReadCloser, error) {
		return unclosed{in}, nil
	}})
	return nil
}

// unclosed is a reader that isn't ours to close.
type unclosed struct{ *bufio.Reader }

// Close leaves the reader open.
func (unclosed) Close() error { return nil }

func (l *library) addFolder(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	before := len(l.files)
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !l.isList(entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if err := l.addFile(filepath.Join(folder, entry.Name()), info.Size()); err != nil {
			return err
		}
	}
	if len(l.files) == before {
		return fmt.Errorf("%s holds no list: none of its files ends in %s", folder, l.endings())
	}
	return nil
}

// addFile takes a file, or the entries of one that begins as ZIPs do.
func (l *library) addFile(name string, size int64) error {
	opened, err := os.Open(name)
	if err != nil {
		return err
	}
	var start [4]byte
	_, err = io.ReadFull(opened, start[:])
	if err := opened.Close(); err != nil {
		return err
	}
	if err == nil && bytes.Equal(start[:], []byte("PK\x03\x04")) {
		return l.addZIP(name)
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.files = append(l.files, &file{name: filepath.Base(name), size: size, open: func() (io.ReadCloser, error) {
		return os.Open(name)
	}})
	return nil
}

func (l *library) addZIP(name string) error {
	archive, err := zip.OpenReader(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.zips = append(l.zips, archive)
	before := len(l.files)
	for _, entry := range archive.File {
		if entry.Mode().IsRegular() && !strings.HasPrefix(entry.Name, "__MACOSX/") && l.isList(path.Base(entry.Name)) {
			l.files = append(l.files, &file{
				name: path.Base(entry.Name),
				size: int64(min(entry.UncompressedSize64, 1<<62)), //nolint:gosec // bounded in the same expression
				open: entry.Open,
				sums: true,
			})
		}
	}
	if len(l.files) == before {
		return fmt.Errorf("%s is a ZIP without lists: none of its files ends in %s (save a workbook as CSV first)", name, l.endings())
	}
	return nil
}

// isList says whether a name is one of a list in this format. Hidden files are left out.
func (l *library) isList(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains(endings[l.options.Format], strings.ToLower(path.Ext(name)))
}

func (l *library) endings() string {
	return strings.Join(endings[l.options.Format], " or ")
}

// close closes the ZIPs.
func (l *library) close() error {
	var errs []error
	for _, archive := range l.zips {
		errs = append(errs, archive.Close())
	}
	l.zips = nil
	return errors.Join(errs...)
}
