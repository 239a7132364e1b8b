package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `date: 2026-11-25T14:00:00Z
commit: 0123456789abcdef
processor: Example 9000
processors: 2
load: 0.10 0.20 0.30
BenchmarkServices/empty/unix/callers=1-2  10  9000 answers/s  8000 check/s  1.2 max-ratio  1.0 min-ratio  100 p50-µs  300 p99-µs  1.1 ratio
BenchmarkServices/empty/unix/callers=64-2  10  22000 answers/s  20000 check/s  1.2 max-ratio  1.0 min-ratio  3000 p50-µs  9000 p99-µs  1.1 ratio
BenchmarkServices/consentd/near-cache/callers=64-2  10  1234567 answers/s  20000 check/s  70 max-ratio  50 min-ratio  0.9 p50-µs  2 p99-µs  61.7 ratio
BenchmarkCacheHit/otter/goroutines=1-2  10  4000000 answers/s  5000000 check/s  0.8 ratio
BenchmarkCacheHit/otter/goroutines=64-2  10  8000000 answers/s  5000000 check/s  1.6 ratio
BenchmarkHitRatio/idle-2  10  60.5 ours-%  70000 ours-entries  31.5 ours-MB  31.4 otter-MB  63.1 otter-%  100000 otter-entries
BenchmarkHitRatio/import-2  10  50.5 ours-%  70000 ours-entries  56.1 otter-%  100000 otter-entries
`

func TestDraw(t *testing.T) {
	dir := t.TempDir()
	in, picture, tables := filepath.Join(dir, "in"), filepath.Join(dir, "a.svg"), filepath.Join(dir, "a.md")
	if err := os.WriteFile(in, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := draw(in, picture, tables); err != nil {
		t.Fatal(err)
	}
	drawn, written := read(t, picture), read(t, tables)
	for d := xml.NewDecoder(strings.NewReader(drawn)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v\n%s", err, drawn)
		}
	}
	for _, want := range []string{"prefers-color-scheme:dark", "consentd near cache, in process", "62x, 1,230,000/s", ">100x<", "20,000/s = 1x"} {
		if !strings.Contains(drawn, want) {
			t.Errorf("the picture lacks %q:\n%s", want, drawn)
		}
	}
	if strings.Contains(drawn, "etcd") {
		t.Error("the picture shows etcd, which wasn't measured")
	}
	for _, want := range []string{
		"| empty gRPC handler | 9,000 | 100 µs, 300 µs | 1.1x | 22,000 | 3 ms, 9 ms | 1.1x |",
		"| otter v2 | 250 ns | 0.8x | 8,000,000 | 1.6x | 63.1 % | 56.1 % | 100,000 | 31.4 MB |",
		"| consentd's cache | 200 ns | 1x | 5,000,000 | 1x | 60.5 % | 50.5 % | 70,000 | 31.5 MB |",
		"0123456789ab`",
	} {
		if !strings.Contains(written, want) {
			t.Errorf("the tables lack %q:\n%s", want, written)
		}
	}
}

func TestDrawNothing(t *testing.T) {
	for text, want := range map[string]string{"PASS\n": "make rivals", "BenchmarkA-2 10 quick ns/op\n": "no result"} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
