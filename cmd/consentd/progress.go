package main

import (
	"fmt"
	"time"
)

// progressEvery is how often a line of progress is renewed.
const progressEvery = 200 * time.Millisecond

// progress is a line on a terminal that says how far a long command is. Elsewhere it says nothing.
type progress struct {
	cli   *cli
	shown bool
	last  time.Time
}

// newProgress waits a moment before it says anything: short commands need no progress.
func (c *cli) newProgress() *progress {
	return &progress{cli: c, last: time.Now()}
}

// show renews the line. The share is left out when the total isn't known.
func (p *progress) show(rows uint64, done, total int64) {
	p.renew(done, total, func() string { return fmt.Sprintf("%d rows", rows) })
}

// showBytes renews the line of what has no rows.
func (p *progress) showBytes(done, total int64) {
	p.renew(done, total, func() string { return bytesText(done) })
}

func (p *progress) renew(done, total int64, what func() string) {
	if !p.cli.onTerminal() || time.Since(p.last) < progressEvery {
		return
	}
	p.last, p.shown = time.Now(), true
	share := ""
	if total > 0 {
		share = fmt.Sprintf(", %d %%", min(100, done*100/total))
	}
	fmt.Fprintf(p.cli.stderr, "\r\x1b[K%s%s", what(), share)
}

// messagef writes a message above the line.
func (p *progress) messagef(text string, args ...any) {
	p.clear()
	p.cli.messagef(text, args...)
}

// clear takes the line away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.cli.stderr, "\r\x1b[K")
		p.shown = false
	}
}
