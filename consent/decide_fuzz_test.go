package consent

import (
	"encoding/binary"
	"testing"
)

// FuzzDecide asks about any words that pass for a record: neither Decide nor Explain panics, and both say the same.
func FuzzDecide(f *testing.F) {
	w := newWorld(f, rowsPolicy)
	for _, tt := range rowCases() {
		var data []byte
		for _, word := range FoldHistory(tt.story, w.c) {
			data = binary.LittleEndian.AppendUint64(data, word)
		}
		f.Add(data, int64(tt.now))
	}
	f.Fuzz(func(t *testing.T, data []byte, now int64) {
		var r Record
		for ; len(data) >= 8; data = data[8:] {
			r = append(r, binary.LittleEndian.Uint64(data))
		}
		if r.Validate() != nil {
			return
		}
		for i := range w.policy.Permissions {
			p := &w.policy.Permissions[i]
			d, e := Decide(p, r, business, Time(now)), Explain(p, r, business, Time(now))
			if allowed, reason, _ := walked(e.Steps); allowed != d.Allowed || reason != d.Reason {
				t.Fatalf("%s: Decide says %v, the steps of Explain %v", p.Name, d, reason)
			}
		}
	})
}
