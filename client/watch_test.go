package client

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, conn := newFakeReplica(t)
		ctx, cancel := context.WithCancel(context.Background())
		rec := &recorder{}
		w := &watch{rpc: consentv1.NewWatchServiceClient(conn), cache: rec, rounds: newRounds(), now: time.Now, log: slog.New(slog.DiscardHandler)}
		done := make(chan struct{})
		go func() { w.run(ctx); close(done) }()
		s := f.next(t)
		s.send(resetMessage(7, 10, watchedTenant("default", 1, 1)), caughtUpMessage())
		s.send(pongMessage(s.ping(), 10, 0))
		synctest.Wait()
		t.Log(rec.at, rec.asOf, time.Now())
		if rec.at != (consent.Revision{Epoch: 7, Index: 10}) {
			t.Error(rec.at)
		}
		s.ping() // not answered
		s.closed()
		t.Log(time.Now())
		s = f.next(t)
		t.Log(s.start)
		cancel()
		<-done
	})
}
