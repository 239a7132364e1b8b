package bench_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rate returns how many questions in a second are answered to callers that ask one after the other for a turn. The function gets a number
// that is different for each question, and reports what went wrong.
func rate(b *testing.B, callers int, ask func(caller, number int) error) float64 {
	b.Helper()
	var asked atomic.Int64
	var over atomic.Bool
	var all sync.WaitGroup
	began := time.Now()
	for caller := range callers {
		all.Go(func() {
			number := 0
			for ; !over.Load(); number++ {
				if err := ask(caller, number*callers+caller); err != nil {
					b.Error(err)
					break
				}
			}
			asked.Add(int64(number))
		})
	}
	end := time.AfterFunc(turn, func() { over.Store(true) })
	defer end.Stop()
	all.Wait()
	return float64(asked.Load()) / time.Since(began).Seconds()
}
