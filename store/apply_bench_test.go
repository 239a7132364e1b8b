package store

import (
	"fmt"
	"testing"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const benchEntryEvents = 512

// BenchmarkApply reports events per second, in entries as a busy leader makes them: many commands of one event. New events are folded on,
// late ones make the subject's history be read and folded again.
func BenchmarkApply(b *testing.B) {
	const subjects = 100_000
	b.Run("new", func(b *testing.B) {
		benchmarkApply(b, subjects, func(*feeder) consent.Time { return 0 })
	})
	b.Run("late", func(b *testing.B) {
		benchmarkApply(b, subjects, func(f *feeder) consent.Time { return firstStamp - consent.Time(f.ids) })
	})
}

func benchmarkApply(b *testing.B, subjects uint64, at func(*feeder) consent.Time) {
	f := newFeeder(b, openStore(b, Options{FS: vfs.Default, Dir: b.TempDir()}))
	feedSubjects(f, subjects)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		var commands []Command
		for range benchEntryEvents {
			commands = append(commands, f.command(nthKey(mix(f.ids)%subjects), granted(at(f), benchPermissions[f.ids%4])))
		}
		f.stamp += second
		entry := EncodeEntry(f.stamp, commands)
		b.StartTimer()
		if _, err := f.store.Apply(f.store.Applied()+1, entry); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*benchEntryEvents/b.Elapsed().Seconds(), "events/s")
}

var benchPermissions = [4]string{"newsletter/email", "newsletter/post", "recommendations/web", "ad_personalization/app"}

// feedSubjects writes a record with four permissions for each of n subjects.
func feedSubjects(f *feeder, n uint64) {
	f.tb.Helper()
	var commands []Command
	for i := range n {
		commands = append(commands, f.command(nthKey(i), granted(firstStamp-consent.Time(i%1000), benchPermissions[:]...)))
		if len(commands) == benchEntryEvents || i == n-1 {
			f.stamp += second
			if _, err := f.store.Apply(f.store.Applied()+1, EncodeEntry(f.stamp, commands)); err != nil {
				f.tb.Fatal(err)
			}
			commands = commands[:0]
		}
	}
}

// benchRecord returns a record with four permissions, as they are recorded.
func benchRecord(tb testing.TB) consent.Record {
	tb.Helper()
	f := newFeeder(tb, openStore(tb, Options{}))
	feedSubjects(f, 1)
	return f.record(nthKey(0))
}

// BenchmarkOpen reports how long a start takes for a million subjects, and what memory the whole process then has for each.
func BenchmarkOpen(b *testing.B) {
	for _, n := range openSizes() {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			s, err := Open(Options{Dir: dir, Logger: quiet})
			if err != nil {
				b.Fatal(err)
			}
			feedSubjects(newFeeder(b, s), uint64(n))
			closeStore(b, s)
			resident := 0
			b.ResetTimer()
			for b.Loop() {
				if s, err = Open(Options{Dir: dir, Logger: quiet}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				resident = settledBytes(b)
				closeStore(b, s)
				b.StartTimer()
			}
			b.ReportMetric(float64(resident)/float64(n), "process-B/subject")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/float64(n), "s/million")
		})
	}
}

// settledBytes returns the resident memory once it no longer shrinks: that of a closed store goes when the collector has found it.
func settledBytes(tb testing.TB) int {
	tb.Helper()
	least := residentBytes(tb)
	for same := 0; same < 5; same++ {
		if now := residentBytes(tb); now < least-least/100 {
			least, same = now, 0
		}
	}
	return least
}

func openSizes() []int {
	if testing.Short() {
		return []int{1e5}
	}
	return []int{1e6, 1e7}
}
