package mailinglist

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// writeBack writes all rows of a reader, with one further column.
func writeBack(t *testing.T, r *Reader, value string) string {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, r, "decision")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range all(t, r) {
		if err := w.Write(row, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestWriter(t *testing.T) {
	tests := []struct {
		name, file, value, want string
	}{
		{"written before", "id,Decision,name\n1,ALLOW,x\n", "=DENY", "id,Decision,name\n1,'=DENY,x\n"},
		{"plain", "id,name\n1,x\n", "ALLOW", "id,name,decision\n1,x,ALLOW\n"},
		{
			"as it was", "\xef\xbb\xbfid;name\r\n1;\"a;b\"\r\n2;\"x\r\ny\"\r\n3;\"say \"\"hi\"\"\"\r\n", "DENY",
			"\xef\xbb\xbfid;name;decision\r\n1;\"a;b\";DENY\r\n2;\"x\r\ny\";DENY\r\n3;\"say \"\"hi\"\"\";DENY\r\n",
		},
		{"Windows-1252 becomes UTF-8 that spreadsheets know", "id;name\n1;M\xfcller\n", "DENY", "\xef\xbb\xbfid;name;decision\n1;Müller;DENY\n"},
		{"no formula of ours", "id,name\n1,=A1\n", "=HYPERLINK()", "id,name,decision\n1,=A1,'=HYPERLINK()\n"},
		{"ids without a header", "c1\nc2", "DENY", "subject,decision\nc1,DENY\nc2,DENY\n"},
		{"space is kept", "id,name\n1,\" x\"\n", "", "id,name,decision\n1,\" x\",\n"},
		{"one line without an end", "id,name", "", "id,name,decision\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := writeBack(t, open(t, segment, writeList(t, "list.csv", tt.file)), tt.value); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestWriterBringsFilesTogether(t *testing.T) {
	first := writeList(t, "first.csv", "id,name,name\n1,x,y\n")
	second := writeList(t, "second.csv", "Town;NAME;id\nUlm;z;2\n")
	got := writeBack(t, open(t, segment, first, second), "DENY")
	if want := "id,name,name,Town,decision\n1,x,y,,DENY\n2,z,,Ulm,DENY\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWriterRefuses(t *testing.T) {
	r := open(t, segment, writeList(t, "list.csv", "id,Decision\n1,x,y\n"))
	if _, err := NewWriter(&bytes.Buffer{}, r, "reason", "decision"); err == nil {
		t.Error("took one of the columns that the list has")
	}
	w, err := NewWriter(&bytes.Buffer{}, r, "reason")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(all(t, r)[0], "x"); !errors.Is(err, ErrUnsplit) {
		t.Errorf("error %v, want %v", err, ErrUnsplit)
	}
	if err := w.Write(Row{Fields: []string{"1", "x"}}); err == nil {
		t.Error("took a row without the further column")
	}
	events := open(t, Options{Format: NDJSON}, writeList(t, "list.ndjson", "{}"))
	if _, err := NewWriter(&bytes.Buffer{}, events); err == nil {
		t.Error("took a list without columns")
	}
}

// What the writer writes, the reader reads back.
func TestWriterAndReaderAgree(t *testing.T) {
	cell := rapid.StringMatching(`[a-zäß€ ,;"'=@\t\n\r]{0,8}`)
	rapid.Check(t, func(rt *rapid.T) {
		columns := rapid.IntRange(0, 4).Draw(rt, "columns")
		header := []string{"id"}
		for i := range columns {
			header = append(header, string(rune('A'+i))+rapid.StringMatching(`[a-z ,;"\t]{0,4}`).Draw(rt, "name"))
		}
		var rows []Row
		for range rapid.IntRange(0, 5).Draw(rt, "rows") {
			row := Row{Fields: []string{rapid.StringMatching(`[a-z0-9]{1,9}`).Draw(rt, "id")}}
			for range columns {
				row.Fields = append(row.Fields, cell.Draw(rt, "cell"))
			}
			rows = append(rows, row)
		}
		from := &Reader{header: header}
		from.files = []*file{{
			delimiter: rapid.SampledFrom([]string{",", ";", "\t"}).Draw(rt, "delimiter"), marked: rapid.Bool().Draw(rt, "mark"),
			encoding: encodingUTF8, lineEnd: rapid.SampledFrom([]string{"\n", "\r\n", ""}).Draw(rt, "end"),
		}}
		var out bytes.Buffer
		w, err := NewWriter(&out, from, "reason")
		if err != nil {
			rt.Fatal(err)
		}
		for _, row := range rows {
			if err := w.Write(row, "NO_CONSENT"); err != nil {
				rt.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			rt.Fatal(err)
		}
		o := segment
		o.Column, o.Delimiter, o.Encoding = "id", rune(from.files[0].delimiter[0]), encodingUTF8
		o.Stdin = strings.NewReader(out.String())
		r := open(t, o, "-")
		if got, want := r.Header(), append(slices.Clone(header), "reason"); !slices.Equal(got, want) {
			rt.Fatalf("header %q, want %q, of %q", got, want, out.String())
		}
		got := all(t, r)
		if len(got) != len(rows) {
			rt.Fatalf("%d rows, want %d, of %q", len(got), len(rows), out.String())
		}
		for i, row := range got {
			if want := append(slices.Clone(rows[i].Fields), "NO_CONSENT"); row.Err != nil || !slices.Equal(row.Fields, want) {
				rt.Fatalf("row %q (%v), want %q, of %q", row.Fields, row.Err, want, out.String())
			}
		}
	})
}
