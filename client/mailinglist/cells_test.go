package mailinglist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// split reads all rows of a text, each as its line and cells, or its line and error.
func split(t *testing.T, text, delimiter string) []string {
	t.Helper()
	r := recordReader{lines: &lineReader{in: bufio.NewReader(strings.NewReader(text))}, delimiter: delimiter}
	var got []string
	for {
		rec, err := r.next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.err != nil {
			got = append(got, fmt.Sprintf("%d! %v", rec.line, rec.err))
			continue
		}
		got = append(got, fmt.Sprintf("%d %q", rec.line, rec.cells))
	}
}

func TestRecords(t *testing.T) {
	long := strings.Repeat("x", longestRow+1)
	tests := []struct {
		name, text, delimiter string
		want                  []string
	}{
		{"nothing", "", ",", nil},
		{"one row without an end", "a,b", ",", []string{`1 ["a" "b"]`}},
		{"LF and CRLF", "a,b\r\nc,d\n", ",", []string{`1 ["a" "b"]`, `2 ["c" "d"]`}},
		{"empty cells", ",,\n;\n", ",", []string{`1 ["" "" ""]`, `2 [";"]`}},
		{"semicolons", "a;\"b;c\";d,e\n", ";", []string{`1 ["a" "b;c" "d,e"]`}},
		{"tabs", "a\tb\n", "\t", []string{`1 ["a" "b"]`}},
		{"a delimiter of several bytes", "a→b→\n", "→", []string{`1 ["a" "b" ""]`}},
		{"doubled quotes", `"say ""hi""",""` + "\n", ",", []string{`1 ["say \"hi\"" ""]`}},
		{"line ends in cells are kept", "\"a\r\nb\",c\nd\n", ",", []string{`1 ["a\r\nb" "c"]`, `3 ["d"]`}},
		{"quotes within a bare cell", "a\"b\"c,d\n", ",", []string{`1 ["a\"b\"c" "d"]`}},
		{"text after a quote", "\"a\"b,c\nd\n", ",", []string{"1! " + errGarbled.Error(), `2 ["d"]`}},
		{"a quote never closed", "a\n\"b,c\nd\ne\n", ",", []string{`1 ["a"]`, "2! " + errUnclosed.Error(), `3 ["d"]`, `4 ["e"]`}},
		{"a quote closed in the wrong place", "\"b,c\nd\n\"e\",f\ng", ",", []string{
			"1! " + errGarbled.Error(), `2 ["d"]`, `3 ["e" "f"]`, `4 ["g"]`,
		}},
		{"a line too long", long + "\nb\n", ",", []string{"1! " + errLong.Error(), `2 ["b"]`}},
		{"a quoted line too long", "\"a\n" + long + "\nb\n", ",", []string{
			"1! " + errUnclosed.Error(), "2! " + errLong.Error(), `3 ["b"]`,
		}},
		{"a last line too long", "a\n" + long, ",", []string{`1 ["a"]`, "2! " + errLong.Error()}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := split(t, tt.text, tt.delimiter); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// A stray quote costs its own row, at however many lines after it: they are read again, in memory that is bounded.
func TestStrayQuotesCostTheirRowsOnly(t *testing.T) {
	var text strings.Builder
	const rows = 60_000
	// The second within reach of the first, and neither near the end.
	stray := func(i int) bool { return i == 10_000 || i == 20_000 }
	for i := range rows {
		if stray(i) {
			text.WriteString("\"")
		}
		fmt.Fprintf(&text, "row %d,x\n", i)
	}
	got := split(t, text.String(), ",")
	if len(got) != rows {
		t.Fatalf("%d rows, want %d", len(got), rows)
	}
	bad := 0
	for i, row := range got {
		if strings.Contains(row, "!") {
			bad++
			if !stray(i) {
				t.Errorf("row %d is lost: %s", i, row)
			}
		}
	}
	if want := 2; bad != want {
		t.Errorf("%d rows can't be used, want %d", bad, want)
	}
}
