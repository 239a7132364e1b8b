package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
)

// A fully consistent question on any replica sees what any other has just acknowledged.
func TestFullyConsistentSeesWhatWasAcknowledged(t *testing.T) {
	c := newCluster(t, 3, 1, nil)
	rounds := 500
	if testing.Short() {
		rounds = 100
	}
	began := time.Now()
	for i := range rounds {
		subject := fmt.Sprintf("subject %d", i)
		written := mustWrite(t, c.node(c.ids[i%4]), grant(t, subject))
		reader := c.node(c.ids[(i/4+i)%4])
		v, err := reader.View(t.Context(), consent.Consistency{Full: true})
		if err != nil {
			t.Fatal(err)
		}
		var buf consent.Buffer
		record, err := reader.Record(t.Context(), v.Tenants["shop"], subject, &buf)
		if err != nil || record == nil || v.Revision.Index < written.Revision.Index {
			t.Fatalf("%s answers at index %d what was written at %d: %v, %v", reader.dir.nodeID, v.Revision.Index, written.Revision.Index, record, err)
		}
	}
	t.Logf("%d writes and reads in %s", rounds, time.Since(began))
	c.waitEqual()
}
