package client

import (
	"runtime"
	"strconv"
	"testing"
)

// BenchmarkCheck asks by so many callers at a time, over a unix socket: on the stream that they share, and by unary calls.
func BenchmarkCheck(b *testing.B) {
	r := newRig(b, 0)
	socket := r.serve(b, "unix://"+b.TempDir()+"/s")
	for _, callers := range []int{1, 64, 512} {
		for _, way := range []struct {
			name string
			opts []Option
		}{{"stream", nil}, {"unary", []Option{WithUnaryCalls()}}} {
			b.Run(way.name+"/"+strconv.Itoa(callers), func(b *testing.B) {
				c := dial(b, socket.address, way.opts...)
				b.SetParallelism((callers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if !c.Allowed(b.Context(), anna, newsletter) {
							b.Error("denied")
							return
						}
					}
				})
			})
		}
	}
}

// BenchmarkNearHit asks of the process's own memory.
func BenchmarkNearHit(b *testing.B) {
	c := newRig(b, 1).dial(b, WithNearCache(nearBytes))
	b.ReportAllocs()
	for b.Loop() {
		if !c.Allowed(b.Context(), anna, newsletter) {
			b.Fatal("denied")
		}
	}
}
