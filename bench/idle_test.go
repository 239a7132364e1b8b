//go:build linux

package bench_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkIdle measures how much of a processor replicas of a cluster of three use while nobody asks them anything. An iteration takes 20
// seconds.
func BenchmarkIdle(b *testing.B) {
	if testing.Short() {
		b.Skip("20 seconds of nothing")
	}
	all := startProcesses(b, 3)
	leader := awaitHealthy(b, all)
	<-time.After(2 * time.Second) // a start is no idleness
	var leading, following, asked float64
	b.ResetTimer()
	for range b.N {
		before := make([]time.Duration, len(all))
		for i, p := range all {
			before[i] = used(b, p.cmd.Process.Pid)
		}
		began := time.Now()
		<-time.After(20 * time.Second)
		asked += time.Since(began).Seconds()
		for i, p := range all {
			if took := (used(b, p.cmd.Process.Pid) - before[i]).Seconds(); p == leader {
				leading += took
			} else {
				following += took / 2
			}
		}
	}
	b.StopTimer()
	if now := awaitHealthy(b, all); now != leader {
		b.Fatalf("%s led at first, and %s does now", leader.id, now.id)
	}
	b.ReportMetric(100*leading/asked, "leader-core-%")
	b.ReportMetric(100*following/asked, "follower-core-%")
}

// used returns the time that a process has had of the processors.
func used(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	const user, system, tick = 11, 12, 10 * time.Millisecond // fields behind the name, in ticks of which Linux tells processes a hundred a second
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var total time.Duration
	for _, i := range []int{user, system} {
		ticks, err := strconv.Atoi(fields[i])
		if err != nil {
			tb.Fatal(err)
		}
		total += time.Duration(ticks) * tick
	}
	return total
}
