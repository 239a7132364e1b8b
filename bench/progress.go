package bench

import (
	"fmt"
	"io"
	"time"
)

// A ProgressStyle is how progress is shown.
type ProgressStyle int

const (
	// NoProgress shows nothing.
	NoProgress ProgressStyle = iota
	// LiveProgress is one line of a terminal that is written over.
	LiveProgress
	// PlainProgress is a line now and then, for logs.
	PlainProgress
)

// plainEvery is how often a log is told.
const plainEvery = 5 * time.Second

// Progress says how a run goes. It isn't for several goroutines at once.
type Progress struct {
	w      io.Writer
	style  ProgressStyle
	width  func() int
	shown  bool
	last   time.Time
	at     float64 // of the last moment
	errors uint64  // of this run
}

// NewProgress returns a Progress that writes to w. The width is asked for before each live line, because people change it; nil, or nothing
// above 0, is taken for 80 columns.
func NewProgress(w io.Writer, style ProgressStyle, width func() int) *Progress {
	return &Progress{w: w, style: style, width: width, last: time.Now()}
}

// Show tells of a moment, and of how long the run will go on. A live line is renewed each time, plain ones are at least 5 seconds apart. Moments
// up to 0 are of the warm-up. A moment before the last is of the next run, whose errors are counted anew.
func (p *Progress) Show(m Moment, left time.Duration) {
	if m.At < p.at {
		p.errors = 0
	}
	p.at = m.At
	if m.At > 0 {
		p.errors += m.Errors
	}
	switch p.style {
	case LiveProgress:
		p.shown = true
		fmt.Fprintf(p.w, "\r\x1b[K%s", p.cut(p.line(m, left)))
	case PlainProgress:
		if time.Since(p.last) >= plainEvery {
			p.last = time.Now()
			fmt.Fprintln(p.w, p.line(m, left))
		}
	case NoProgress:
	}
}

// Clear takes the live line away: before anything else is written there, and at the end.
func (p *Progress) Clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

func (p *Progress) line(m Moment, left time.Duration) string {
	phase, errors := "warming up", ""
	if m.At > 0 {
		phase, errors = secondsText(float64(int64(m.At+0.5))), errorsText(p.errors)
	}
	latency := ""
	if m.Rate > 0 {
		latency = fmt.Sprintf("p50 %s, p99 %s", timeText(m.P50), timeText(m.P99))
	}
	rest := secondsText(left.Round(time.Second).Seconds()) + " left"
	return phase + ": " + phrases(", ", quantityText(m.Rate, "/s"), latency, errors, rest)
}

func errorsText(n uint64) string {
	switch n {
	case 0:
		return "no errors"
	case 1:
		return "1 error"
	}
	return numberText(float64(n)) + " errors"
}

// cut keeps a line from being wrapped, which carriage returns don't undo.
func (p *Progress) cut(line string) string {
	width := 0
	if p.width != nil {
		width = p.width()
	}
	if width <= 0 {
		width = 80
	}
	runes := []rune(line)
	return string(runes[:min(len(runes), width-1)])
}
