package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// TestRecentEntriesAreTheLogs compares them with a log that is appended to, cut at either end, and replaced behind a snapshot.
func TestRecentEntriesAreTheLogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var recent recentEntries
		log := map[uint64]*raft.Log{}
		first, next := uint64(1), uint64(1)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "append", "cut front", "cut tail", "replace"}).Draw(t, "step") {
			case "append":
				var added []*raft.Log
				for range rapid.IntRange(1, 5).Draw(t, "added") {
					l := &raft.Log{Index: next, Term: rapid.Uint64().Draw(t, "term"), Data: make([]byte, rapid.IntRange(0, recentBytes/3).Draw(t, "size"))}
					added, log[next] = append(added, l), l
					next++
				}
				recent.add(added)
			case "cut front":
				to := rapid.Uint64Range(first, next).Draw(t, "to")
				recent.remove(first, to-1)
				for ; first < to; first++ {
					delete(log, first)
				}
			case "cut tail":
				from := rapid.Uint64Range(first, next).Draw(t, "from")
				recent.remove(from, next-1)
				for ; next > from; next-- {
					delete(log, next-1)
				}
			case "replace":
				recent.remove(first, next-1)
				clear(log)
				next += 10
				first = next
			}
			bytes := 0
			for index := range next + 2 {
				var got raft.Log
				if !recent.get(index, &got) {
					continue
				}
				if want := log[index]; want == nil || got.Index != index || got.Term != want.Term {
					t.Fatalf("entry %d is %v, want %v", index, got, want)
				}
				bytes += entryBytes(&got)
			}
			if bytes != recent.bytes || bytes > recentBytes {
				t.Fatalf("%d bytes are kept, %d are counted, and %d are allowed", bytes, recent.bytes, recentBytes)
			}
		}
	})
}
