package main

import (
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/consentd/consentd/bench"
)

// benchScreen is what standard error shows while bench measures: how it goes, and what happens.
type benchScreen struct {
	mu       sync.Mutex
	progress *bench.Progress
}

func (c *cli) newBenchScreen(b *benchConfig) *benchScreen {
	style := bench.PlainProgress
	switch {
	case b.noProgress:
		style = bench.NoProgress
	case c.onTerminal():
		style = bench.LiveProgress
	}
	s := &benchScreen{progress: bench.NewProgress(c.stderr, style, c.columns)}
	b.Observe = func(m bench.Moment, left time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.progress.Show(m, left)
	}
	if !b.noProgress {
		b.Message = func(text string, args ...any) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.progress.Clear()
			c.messagef(text, args...)
		}
	}
	return s
}

func (s *benchScreen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress.Clear()
}

// columns returns how wide the terminal is, or 0.
func (p process) columns() int {
	if file, ok := p.stderr.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			return width
		}
	}
	return 0
}
