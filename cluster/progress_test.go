package cluster

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// A long wait is a warning; after it is over, the next one begins anew.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := progress{log: slog.New(slog.NewTextHandler(&log, nil))}
		for range 20 {
			p.tell("waiting")
			time.Sleep(time.Second)
		}
		if lines := strings.Count(log.String(), "level=INFO"); lines < 5 || lines > 7 || strings.Contains(log.String(), "WARN") {
			t.Errorf("in 20 s:\n%s", log.String())
		}
		time.Sleep(longWait)
		if p.tell("waiting"); !strings.Contains(log.String(), "level=WARN msg=waiting for=50s") {
			t.Errorf("after long:\n%s", log.String())
		}
		p.done()
		log.Reset()
		time.Sleep(tellInterval)
		if p.tell("waiting"); !strings.Contains(log.String(), "level=INFO msg=waiting\n") {
			t.Errorf("the next time:\n%s", log.String())
		}
	})
}

// A replica that is told to join itself alone hears so.
func TestOwnAddressAlone(t *testing.T) {
	self := &peerv1.IntroduceResponse{NodeId: "a", Instance: []byte("a")}
	seen, err := newCensus(self, []sighting{{api: "api-a", IntroduceResponse: self}})
	if got := fmt.Sprint(seen.progress()...); err != nil || !strings.Contains(got, "nobody but this replica itself") {
		t.Errorf("%s, %v", got, err)
	}
}
