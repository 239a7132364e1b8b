package bench

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// showRun tells of a second of warm-up and of a run of so many seconds.
func showRun(p *Progress, seconds int) {
	for s := range seconds + 1 {
		<-time.After(time.Second)
		p.Show(Moment{At: float64(s), Rate: 9_998, P50: 84.3, P99: 412, Errors: uint64(s % 2)}, time.Duration(seconds-s)*time.Second)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var got bytes.Buffer
	width := 100
	p := NewProgress(&got, LiveProgress, func() int { return width })
	p.Clear() // nothing yet
	p.Show(Moment{At: -0.5, Rate: 9_000, P50: 90, P99: 500, Errors: 7}, 31*time.Second)
	p.Show(Moment{At: 1, Rate: 9_998, P50: 84.3, P99: 1_412, Errors: 1}, 29*time.Second)
	width = 20
	p.Show(Moment{At: 2, Errors: 2}, 28*time.Second)
	width = 0
	p.Show(Moment{At: 1}, 29*time.Second) // of the next run
	p.Clear()
	p.Clear()
	want := "\r\x1b[Kwarming up: 9,000/s, p50 90 µs, p99 500 µs, 31 s left" +
		"\r\x1b[K1 s: 9,998/s, p50 84.3 µs, p99 1.41 ms, 1 error, 29 s left" +
		"\r\x1b[K2 s: 0/s, 3 errors," +
		"\r\x1b[K1 s: 0/s, no errors, 29 s left" +
		"\r\x1b[K"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestProgressInALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got bytes.Buffer
		p := NewProgress(&got, PlainProgress, nil)
		showRun(p, 12)
		p.Clear()
		want := "4 s: 9,998/s, p50 84.3 µs, p99 412 µs, 2 errors, 8 s left\n" +
			"9 s: 9,998/s, p50 84.3 µs, p99 412 µs, 5 errors, 3 s left\n"
		if diff := cmp.Diff(want, got.String()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got bytes.Buffer
		p := NewProgress(&got, NoProgress, nil)
		showRun(p, 12)
		p.Clear()
		if got.Len() > 0 {
			t.Errorf("got %q", got.String())
		}
	})
}
