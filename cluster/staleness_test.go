package cluster

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stalenessTest is a freshness whose rounds fail with an error that the test sets, and its log.
type stalenessTest struct {
	*freshness
	book   logBook
	failed atomic.Pointer[error]
}

func newStalenessTest() *stalenessTest {
	s := &stalenessTest{freshness: newTestFreshness(time.Second)}
	s.log = s.book.logger()
	s.index = func(context.Context) (uint64, error) { return 1, *s.failed.Load() }
	s.fail(nil)
	s.applied = func(context.Context, uint64) error { return nil }
	return s
}

func (s *stalenessTest) fail(err error) { s.failed.Store(&err) }

// told returns how often the log says each.
func (s *stalenessTest) told() (stale, again int) {
	return len(s.book.lines("level=WARN msg=\"checks are STALE")), len(s.book.lines("level=INFO msg=\"checks are answered again\""))
}

func TestStalenessIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStalenessTest()
		go s.run(t.Context())
		time.Sleep(time.Minute)
		if stale, again := s.told(); stale+again != 0 {
			t.Errorf("while all is well: %s", &s.book.text)
		}
		s.fail(errors.New("no majority"))
		time.Sleep(time.Minute)
		if stale, again := s.told(); stale != 1 || again != 0 || !strings.Contains(s.book.warnings()[0], `why="no majority"`) {
			t.Errorf("after a minute without a proof: %s", &s.book.text)
		}
		s.fail(nil)
		time.Sleep(time.Minute)
		if stale, again := s.told(); stale != 1 || again != 1 {
			t.Errorf("a minute after the next proof: %s", &s.book.text)
		}
	})
}

// What goes to and fro every other second is told rarely, and what has come to stay is told after all.
func TestFlappingStalenessIsToldRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStalenessTest()
		go s.run(t.Context())
		for range 10 {
			s.fail(nil)
			time.Sleep(time.Second)
			s.fail(errors.New("no majority"))
			time.Sleep(2 * time.Second)
		}
		if stale, again := s.told(); stale < 2 || stale > 4 || again > stale {
			t.Errorf("%d and %d lines in half a minute, want about three of each: %s", stale, again, &s.book.text)
		}
		time.Sleep(complainEvery)
		before, _ := s.told()
		time.Sleep(time.Minute)
		if stale, again := s.told(); stale != before || again != stale-1 {
			t.Errorf("want one line more about STALE than about answers: %s", &s.book.text)
		}
	})
}

// A process that was suspended finds its proof old though no round has failed.
func TestSuspensionIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStalenessTest()
		var slept atomic.Int64
		s.now = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
		go s.run(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		slept.Store(int64(time.Hour))
		time.Sleep(time.Second)
		if stale, again := s.told(); stale != 1 || again != 1 || !strings.Contains(s.book.warnings()[0], "suspended") {
			t.Errorf("got %s", &s.book.text)
		}
	})
}
