package store

import "testing"

func TestArenaCarvesOldTables(t *testing.T) {
	a := newArena()
	defer a.close()
	table := a.alloc(1000)
	a.releaseRun(table, 1000)
	for range 1000 / 12 {
		if at := a.alloc(12); at < table || at >= table+1000 {
			t.Fatalf("a block lies at %d, want it in the released table at %d", at, table)
		}
	}
}

// TestArenaNeverOverlaps fills allocations with their own number and looks
// whether another one has written over it.
func TestArenaNeverOverlaps(t *testing.T) {
	a := newArena()
	defer a.close()
	type piece struct {
		at location
		n  uint64
	}
	var live []piece
	for i := range uint64(20_000) {
		n := 1 + mix(i)%100
		if i%100 == 0 {
			n = 1 + mix(i)%(keyWords+maxRecordWords)
		}
		p := piece{a.alloc(n), n}
		for j := range p.n {
			a.words(p.at, p.n)[j] = uint64(p.at)
		}
		live = append(live, p)
		if mix(^i)%3 > 0 {
			victim := mix(i) % uint64(len(live))
			p, live[victim] = live[victim], live[len(live)-1]
			live = live[:len(live)-1]
			for j, word := range a.words(p.at, p.n) {
				if word != uint64(p.at) {
					t.Fatalf("word %d of the %d at %d was overwritten", j, p.n, p.at)
				}
			}
			if p.n < minTable {
				a.release(p.at, p.n)
			} else {
				a.releaseRun(p.at, p.n)
			}
		}
	}
}

func TestArenaStaysWithinChunks(t *testing.T) {
	a := newArena()
	defer a.close()
	a.alloc(10)
	for _, beyond := range []struct {
		at location
		n  uint64
	}{{chunkWords - 1, 2}, {chunkWords, 1}, {0, chunkWords + 1}, {1<<locationBits - 1, 1}, {1, 1<<30 - 1}} {
		if a.words(beyond.at, beyond.n) != nil {
			t.Errorf("words(%d, %d) reach beyond the chunk that there is", beyond.at, beyond.n)
		}
	}
	if len(a.words(chunkWords-1, 1)) != 1 {
		t.Error("the chunk's last word can't be reached")
	}
}
