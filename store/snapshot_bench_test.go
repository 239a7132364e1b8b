package store

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// BenchmarkReadBesideSnapshot reports how long reading a record takes at the median, the 99th and the 99.9th of a hundred, at a million
// subjects: alone, and while streams of snapshots are made one after the other. Each read is measured by itself, so the clock is part of it.
func BenchmarkReadBesideSnapshot(b *testing.B) {
	const subjects = 1_000_000
	f := newFeeder(b, openStore(b, Options{FS: vfs.Default, Dir: b.TempDir()}))
	feedSubjects(f, subjects)
	b.Run("alone", func(b *testing.B) { benchmarkReads(b, f.store, subjects) })
	b.Run("beside", func(b *testing.B) {
		stop, done := make(chan struct{}), make(chan int64)
		go func() {
			var bytes int64
			for {
				select {
				case <-stop:
					done <- bytes
					return
				default:
					bytes += streamTo(b, f.store, io.Discard)
				}
			}
		}()
		benchmarkReads(b, f.store, subjects)
		b.StopTimer()
		close(stop)
		b.ReportMetric(float64(<-done)/1e6, "MB")
	})
}

// streamTo writes a snapshot of a store, and returns its size.
func streamTo(b *testing.B, s *Store, w io.Writer) int64 {
	snapshot, err := s.Snapshot()
	if err != nil {
		b.Error(err)
		return 0
	}
	n, err := snapshot.WriteTo(w)
	if err != nil {
		b.Error(err)
	}
	if err := snapshot.Close(); err != nil {
		b.Error(err)
	}
	return n
}

func benchmarkReads(b *testing.B, s *Store, subjects uint64) {
	tenant := s.Head().Tenants[testTenant]
	took := make([]time.Duration, 0, 1<<22)
	var buf Buffer
	n := uint64(0)
	for b.Loop() {
		n++
		start := time.Now()
		if r, err := s.RecordOf(tenant, nthKey(mix(n)%subjects), &buf); err != nil || r == nil {
			b.Fatal(r, err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	at := func(part float64) float64 { return float64(took[int(part*float64(len(took)-1))].Nanoseconds()) }
	b.ReportMetric(at(.5), "p50-ns")
	b.ReportMetric(at(.99), "p99-ns")
	b.ReportMetric(at(.999), "p999-ns")
}
