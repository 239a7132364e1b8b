package mailinglist

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzReader reads whatever it is given in every format: it must end, give each row a place in the file, and never an event without
// subject and time, nor a row that can't be written back.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"", "id\n1\n", "\xef\xbb\xbfid;name\r\n1;\"a\r\nb\"\r\n", "\"", "id,\"\n", "\xff\xfeI\x00D\x00\n\x001\x00",
		subscribedHeader + "\na@example.org,A,2,2019-05-25 10:11:12,192.0.2.1,2019-05-25 10:15:00,192.0.2.1,2020-01-01 00:00:00,\n",
		unsubscribedHeader + "\na@example.org,,,,,2020-02-03 04:05:06,,SPAM,,\n", cleanedHeader + "\n,,,,,,,\n",
		"email,granted_at,customer\na@example.org,25.05.2019,ja\n",
		`{"subject": "a", "kind": "EVENT_KIND_WITHDRAWN", "occurredAt": "2020-01-02T03:04:05Z"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		for _, o := range []Options{
			newsletter, segment, {Format: NDJSON, Now: now},
			{Format: CSV, Permission: "newsletter/email", At: now, Now: now},
			{Format: CSV, Permission: "newsletter/email", Now: now, Columns: map[string]string{"granted_at": "granted_at", "customer": "customer"}},
		} {
			o.Stdin = bytes.NewReader(list)
			r, err := Open([]string{"-"}, o)
			if err != nil {
				continue
			}
			fuzzRows(t, r, bytes.Count(list, []byte("\n"))+1)
		}
	})
}

func fuzzRows(t *testing.T, r *Reader, lines int) {
	t.Helper()
	var out *Writer
	if r.Header() != nil {
		var err error
		if out, err = NewWriter(io.Discard, r); err != nil {
			t.Fatal(err)
		}
	}
	for n, last := 0, 0; ; n++ {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.Line <= last || row.Line > lines || n > lines {
			t.Fatalf("row %d stands in line %d of %d, after line %d", n, row.Line, lines, last)
		}
		last = row.Line
		checkRow(t, row)
		if out != nil && row.Fields != nil {
			if err := out.Write(row); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func checkRow(t *testing.T, row Row) {
	t.Helper()
	if row.Err != nil && len(row.Events) > 0 {
		t.Fatalf("events of an unusable row: %v", row.Events)
	}
	if row.Err == nil && strings.TrimSpace(row.Subject) == "" {
		t.Fatal("a usable row without a subject")
	}
	for _, e := range row.Events {
		if e.GetSubject() != row.Subject || !recordable(e.GetOccurredAt().AsTime()) || !utf8.ValidString(e.GetEvidence().GetSource()) {
			t.Fatalf("an unusable event: %v", e)
		}
	}
}
