package mailinglist

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

var segment = Options{Format: CSV, SubjectsOnly: true}

func inUTF16(text string, bigEndian bool) string {
	var b bytes.Buffer
	for _, unit := range utf16.Encode([]rune("\uFEFF" + text)) {
		high, low := byte(unit>>8), byte(unit)
		if bigEndian {
			b.Write([]byte{high, low})
		} else {
			b.Write([]byte{low, high})
		}
	}
	return b.String()
}

func TestEncodingsAndDelimiters(t *testing.T) {
	tests := []struct {
		name, file, encoding string
		delimiter            rune
	}{
		{"UTF-8", "Name,E-Mail\nMüller,a@example.org\n", "", 0},
		{"UTF-8 with a mark", "\xef\xbb\xbfName;E-Mail\r\nMüller;a@example.org\r\n", "", 0},
		{"Windows-1252", "Name;E-Mail\nM\xfcller;a@example.org\n", "", 0},
		{"Windows-1252, late", "Name;E-Mail\nM\xfcller;a@example.org\n" + strings.Repeat("x;b@example.org\n", 10_000), "", 0},
		{"Windows-1252, said", "Name;E-Mail\nM\xfcller;a@example.org\n", "latin1", 0},
		{"UTF-16, little-endian", inUTF16("Name\tE-Mail\r\nMüller\ta@example.org\r\n", false), "", 0},
		{"UTF-16, big-endian", inUTF16("Name\tE-Mail\r\nMüller\ta@example.org\r\n", true), "utf-16", 0},
		{"bars, said", "Name|E-Mail\nMüller|a@example.org\n", "", '|'},
		{"delimiters in quotes don't count", "\"Name, Vorname, Titel\";E-Mail\nMüller;a@example.org\n", "", 0},
		{"empty lines before the header", "\n\nName,E-Mail\n\nMüller,a@example.org\n", "", 0},
		{"empty cells after the last", "Name,E-Mail\nMüller,a@example.org,,\n", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := segment
			o.Encoding, o.Delimiter = tt.encoding, tt.delimiter
			row := all(t, open(t, o, writeList(t, "list.csv", tt.file)))[0]
			if row.Err != nil || row.Subject != "a@example.org" || row.Fields[0] != "Müller" {
				t.Errorf("subject %q, fields %q, error %v", row.Subject, row.Fields, row.Err)
			}
		})
	}
}

func TestBrokenEncodingCostsTheRow(t *testing.T) {
	for name, file := range map[string]string{
		"UTF-8":        "name,email\nÄnne,a@example.org\nÖdön,b@example.org\nM\xfcller,c@example.org\nÜmit,d@example.org\n",
		"Windows-1252": "name,email\n\xc4nne,a@example.org\n\xd6d\xf6n,b@example.org\nM\x81ller,c@example.org\n\xdcmit,d@example.org\n",
	} {
		rows := all(t, open(t, segment, writeList(t, "list.csv", file)))
		for i, row := range rows {
			if broken := i == 2; broken != (row.Err != nil) {
				t.Errorf("%s: line %d: error %v", name, row.Line, row.Err)
			}
			if len(row.Fields) != 2 {
				t.Errorf("%s: line %d: fields %q", name, row.Line, row.Fields)
			}
		}
	}
}

func TestLinesAreThoseOfTheFile(t *testing.T) {
	const file = "email,notes\r\na@example.org,\"one\r\ntwo\r\nthree\"\r\n\r\nb@example.org,x\r\n,y\r\n\"c@example.org,z\r\nd@example.org,z\r\n"
	var lines []int
	var errs []string
	for _, row := range all(t, open(t, segment, writeList(t, "list.csv", file))) {
		lines = append(lines, row.Line)
		if row.Err != nil {
			errs = append(errs, row.Err.Error())
		}
	}
	if want := []int{2, 6, 7, 8, 9}; !slices.Equal(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}
	if want := []string{errNoSubject.Error(), errUnclosed.Error()}; !slices.Equal(errs, want) {
		t.Errorf("errors %q, want %q", errs, want)
	}
}

func TestSubjects(t *testing.T) {
	tests := []struct {
		name, file, column string
		want               []string
	}{
		{"ids without a header", "c1\nc2\n", "", []string{"c1", "c2"}},
		{"ids with a header", "Kundennummer\nc1\nc2\n", "", []string{"c1", "c2"}},
		{"addresses without a header", "a@example.org\nb@example.org", "", []string{"a@example.org", "b@example.org"}},
		{"found by name", "name,E-Mail-Adresse,id\nx,a@example.org,1", "", []string{"a@example.org"}},
		{"named", "name,email,Id\nx,a@example.org,1", "id", []string{"1"}},
		{"named in the same letter case", "ID,id\n1,2", "id", []string{"2"}},
		{"as the list has it", "id\n Anna@Example.org\n", "", []string{" Anna@Example.org"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := segment
			o.Column = tt.column
			var got []string
			for _, row := range all(t, open(t, o, writeList(t, "list.csv", tt.file))) {
				got = append(got, row.Subject)
				if row.Err != nil || len(row.Events) != 0 {
					t.Errorf("line %d: %v, %v", row.Line, row.Err, row.Events)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestStandardInput(t *testing.T) {
	o := segment
	o.Stdin = strings.NewReader("id,name\n1,M\xfcller\n2,x\n" + strings.Repeat("3,y\n", 50_000))
	rows := all(t, open(t, o, "-"))
	if len(rows) != 50_002 || rows[0].Fields[1] != "Müller" {
		t.Errorf("%d rows, the first %q", len(rows), rows[0].Fields)
	}
}

func TestUnmarked(t *testing.T) {
	for _, unmarked := range []bool{false, true} {
		o := segment
		o.Unmarked = unmarked
		r := open(t, o, writeList(t, "list.csv", "id\n1\n1\n"))
		if rows := all(t, r); rows[1].Duplicate == unmarked || (r.Duplicates() == 0) != unmarked || (len(r.seen) == 0) != unmarked {
			t.Errorf("unmarked %t: %+v, %d noted", unmarked, rows, len(r.seen))
		}
	}
}

func TestFolder(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{"b.csv": "id\n2\n", "a.CSV": "id\n1\n", "note.pdf": "%PDF", ".hidden.csv": "x"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rows := all(t, open(t, segment, folder))
	if len(rows) != 2 || rows[0].Subject != "1" || rows[1].Subject != "2" {
		t.Errorf("rows %v", rows)
	}
}

func TestOpenRefuses(t *testing.T) {
	customers := Options{Format: CSV, Permission: "newsletter/email", Columns: map[string]string{"granted_at": "when"}}
	with := func(o Options, change func(*Options)) Options {
		change(&o)
		return o
	}
	good := writeList(t, "good.csv", "email,when\na@example.org,2020-01-02\n")
	tests := []struct {
		name  string
		o     Options
		paths []string
		want  string
	}{
		{"nothing to read", segment, nil, "name a list"},
		{"no such file", segment, []string{filepath.Join(t.TempDir(), "none.csv")}, "none.csv"},
		{"one bad file among good ones", segment, []string{good, writeList(t, "empty.csv", "")}, "empty.csv: the file is empty"},
		{"a device", segment, []string{os.DevNull}, "can be read only once"},
		{"an empty file", segment, []string{writeList(t, "list.csv", "\n\r\n")}, "empty"},
		{"an empty file with a mark", segment, []string{writeList(t, "list.csv", "\xef\xbb\xbf")}, "empty"},
		{"columns of NDJSON", Options{Format: NDJSON, Column: "id"}, []string{good}, "there are no columns in the format ndjson"},
		{"an empty NDJSON file", Options{Format: NDJSON}, []string{writeList(t, "list.ndjson", "")}, "empty"},
		{"an empty folder", segment, []string{t.TempDir()}, "holds no list"},
		{"a ZIP without lists", newsletter, []string{writeZIP(t, "xl/workbook.xml", "<x/>")}, "a ZIP without lists"},
		{"a ZIP with something else", newsletter, []string{writeZIP(t, "campaigns.csv", "Title,Sent\n")}, "campaigns.csv: no column"},
		{"a broken ZIP", newsletter, []string{writeList(t, "lists.zip", "PK\x03\x04 nothing")}, "zip"},
		{"a ZIP with a damaged list", newsletter, []string{damagedZIP(t)}, "list.csv: zip: checksum error"},
		{"a binary file", segment, []string{writeList(t, "list.csv", "\x00\x01\x02,\x03")}, "isn't text"},
		{"a header that never ends", segment, []string{writeList(t, "list.csv", "\"id,name\n1,x\n")}, "line 1, which names the columns"},
		{"a header in no encoding", with(segment, func(o *Options) { o.Encoding = "utf-8" }), []string{
			writeList(t, "list.csv", "id,M\xfcller\n1,x\n"),
		}, "line 1, which names the columns"},
		{"UTF-16 without a mark", with(segment, func(o *Options) { o.Encoding = "utf-16" }), []string{good}, "byte order mark"},
		{"a column that isn't there", with(segment, func(o *Options) { o.Column = "Adresse" }), []string{good},
			`good.csv: there is no column "Adresse"; there are "email", "when"`},
		{"a column that is there twice", segment, []string{writeList(t, "list.csv", "email,E-Mail\nx,y\n")}, "could both hold"},
		{"a mapped column that is there twice", customers, []string{writeList(t, "list.csv", "email,when,when\n")}, "2 times"},
		{"a mapped column that isn't there", customers, []string{writeList(t, "list.csv", "email,then\n")}, `field granted_at: there is no column "when"`},
		{"no column of subjects", segment, []string{writeList(t, "list.csv", "a,b\n1,2\n")}, "no column's name says"},
		{"no column of Mailchimp's", newsletter, []string{good}, `there is no column "OPTIN_TIME"`},

		{"no format", Options{}, []string{good}, "choose mailchimp, csv or ndjson"},
		{"an unknown encoding", with(segment, func(o *Options) { o.Encoding = "ebcdic" }), []string{good}, "choose utf-8"},
		{"a quote as delimiter", with(segment, func(o *Options) { o.Delimiter = '"' }), []string{good}, "can't separate"},
		{"an unknown field", with(customers, func(o *Options) { o.Columns = map[string]string{"mood": "x"} }), []string{good},
			"map one of subject, granted_at"},
		{"a field without a column", with(customers, func(o *Options) { o.Columns = map[string]string{"method": " "} }), []string{good},
			"mapped to no column"},
		{"customer twice", with(customers, func(o *Options) {
			o.Columns = map[string]string{"customer": "when", "relationship": "when"}
		}), []string{good}, "not both"},
		{"the subject twice", with(customers, func(o *Options) {
			o.Columns, o.Column = map[string]string{"subject": "when"}, "email"
		}), []string{good}, "name one"},
		{"columns of Mailchimp mapped", with(newsletter, func(o *Options) { o.Columns = customers.Columns }), []string{good}, "alone"},
		{"no permission", with(customers, func(o *Options) { o.Permission = "" }), []string{good}, "name the permission"},
		{"no permission, but facts and a grant", with(customers, func(o *Options) {
			o.Permission, o.Columns = "", map[string]string{"granted_at": "when", "customer": "when"}
		}), []string{good}, "name the permission"},
		{"undeliverable on no channel", with(customers, func(o *Options) {
			o.Permission, o.Columns = "crm", map[string]string{"undeliverable_at": "when"}
		}), []string{good}, "on a channel"},
		{"a permission without a channel", with(newsletter, func(o *Options) { o.Permission = "crm" }), []string{good}, "over a channel"},
		{"a time before all", with(customers, func(o *Options) { o.At = now.AddDate(-100, 0, 0) }), []string{good}, "can't be recorded"},
		{"standard input that isn't there", segment, []string{"-"}, "no standard input"},
		{"standard input twice", with(segment, func(o *Options) { o.Stdin = strings.NewReader("id\n1") }), []string{"-", "-"}, "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := openError(t, tt.o, tt.paths...); !strings.Contains(got, tt.want) {
				t.Errorf("error %q, want one with %q", got, tt.want)
			}
		})
	}
}

// damagedZIP returns a ZIP of one list, of which a letter was lost behind the header.
func damagedZIP(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lists.zip")
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	w, err := archive.CreateHeader(&zip.FileHeader{Name: "list.csv", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "\xef\xbb\xbf"+subscribedHeader+"\nanna@example.org,,,,,,,,\n"); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Replace(buffer.Bytes(), []byte("anna@"), []byte("anne@"), 1)
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFileThatChangesMeanwhile(t *testing.T) {
	path := writeList(t, "list.csv", "id,name\n1,x\n")
	r := open(t, segment, path)
	if err := os.WriteFile(path, []byte("name,id\nx,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "list.csv: "+errChanged.Error()) {
		t.Errorf("error %v, want %v", err, errChanged)
	}
}

func TestEveryRowErrorHasAReason(t *testing.T) {
	const rows = "a@example.org,2020-01-02,x\nb@example.org,,\n,2020-01-02,\n\"c,,\nd@example.org,02/03/2020,\n" +
		"e@example.org,2099-01-02,\nf@example.org,2020-01-02,1,2\n"
	o := Options{Format: CSV, Permission: "newsletter/email", Columns: map[string]string{"granted_at": "when", "explicit": "explicit"}}
	for i, row := range all(t, open(t, o, writeList(t, "list.csv", "email,when,explicit\n"+rows+strings.Repeat("x", 300)+",2020-01-02,"))) {
		want := []string{
			"", reasonNoTime, reasonNoSubject, reasonUnreadableRow, reasonUnreadableTime, reasonFutureTime, reasonUnreadableRow,
			reasonUnusableSubject,
		}[i]
		var err *RowError
		if errors.As(row.Err, &err) != (want != "") || (err != nil && err.Reason() != want) {
			t.Errorf("line %d: %v, want the reason %q", row.Line, row.Err, want)
		}
	}
}

func TestParseFormat(t *testing.T) {
	for name, want := range map[string]Format{"mailchimp": Mailchimp, "CSV": CSV, "ndjson": NDJSON} {
		if got, err := ParseFormat(name); got != want || err != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if got, err := ParseFormat("xlsx"); err == nil {
		t.Errorf("xlsx is read as %q", got)
	}
}

func TestSameSubject(t *testing.T) {
	for given, want := range map[string]string{
		" Anna@Example.ORG ": "anna@example.org", "Customer 7": "Customer 7", "A@B@C": "A@B@C", "@Home": "@Home", "Ann a@x": "Ann a@x",
	} {
		if got := normalSubject(given); got != want {
			t.Errorf("%q is taken for %q, want %q", given, got, want)
		}
	}
}

// endless gives the same bytes again and again, up to a number of them.
type endless struct {
	text string
	left int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && n < e.left {
		n += copy(p[n:min(len(p), e.left)], e.text)
	}
	e.left -= n
	return n, nil
}

// What a row of any length costs is bounded, and nothing of a row is kept.
func TestMemoryIsBounded(t *testing.T) {
	const most = 3 << 20
	for _, tt := range []struct {
		name, text string
		size       int
		kept       bool // measure what is kept, not what was ever used
	}{
		{"one line", strings.Repeat("x", 4096), 32 << 20, false},
		{"one line of quotes", strings.Repeat("\"x", 2048), 32 << 20, false},
		{"many rows", strings.Repeat("1,Müller,\"a\nb\"\n", 200), 4 << 20, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := segment
			o.Stdin = io.MultiReader(strings.NewReader("id,name,notes\n"), &endless{tt.text, tt.size})
			r := open(t, o, "-")
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for {
				if _, err := r.Next(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			grown := after.TotalAlloc - before.TotalAlloc
			if tt.kept {
				grown = max(after.HeapAlloc, before.HeapAlloc) - before.HeapAlloc
			}
			if grown > most {
				t.Errorf("%d KiB for %d KiB of text", grown>>10, tt.size>>10)
			}
		})
	}
}
