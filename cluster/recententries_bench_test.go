package cluster

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// BenchmarkGetLog reads entries as replication does: the newest, which are in memory, and those before.
func BenchmarkGetLog(b *testing.B) {
	for _, size := range []int{256, 16 << 10, 1 << 20} {
		dir := filepath.Join(b.TempDir(), "log")
		logs, err := openLogStore(vfs.Default, dir, pebbleLogger{Options{}.withDefaults().Logger}, func(err error) { b.Error(err) })
		if err != nil {
			b.Fatal(err)
		}
		const entries = 8
		for i := range uint64(entries) {
			entry := &raft.Log{Index: i + 1, Term: 1, Type: raft.LogCommand, Data: make([]byte, size)}
			if err := logs.StoreLog(entry); err != nil {
				b.Fatal(err)
			}
		}
		for _, from := range []string{"memory", "disk"} {
			if from == "disk" {
				logs.recent.remove(1, entries)
			}
			b.Run(fmt.Sprintf("%s/%d", from, size), func(b *testing.B) {
				b.ReportAllocs()
				var l raft.Log
				for i := range b.N {
					if err := logs.GetLog(uint64(i%entries)+1, &l); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		if err := logs.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
