package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// TestRollingRestart restarts every replica of three under load, one after the other: no check fails, and no acknowledged write is lost.
// Callers do as callers should: what one replica can't answer, they ask the next; a write is repeated with its request id.
func TestRollingRestart(t *testing.T) {
	c := foundCluster(t, 3)
	c.await(t, c.members[0], "a cluster of three", healthy(3, 3))
	load := startRollingLoad(t, c.addrs())
	for _, m := range c.members {
		load.more(t)
		m.signal(t, syscall.SIGTERM)
		if code := m.wait(t); code != exitDone {
			t.Errorf("%s: exit code %d:\n%s", m.id, code, m.log.text.String())
		}
		if strings.Contains(m.log.text.String(), "couldn't be handed over") {
			t.Errorf("%s:\n%s", m.id, m.log.text.String())
		}
		load.more(t)
		m.start(t)
		c.await(t, m, "a cluster of three again", healthy(3, 3))
	}
	load.more(t)
	acknowledged := load.stop()
	for _, m := range c.members {
		checkWithdrawn(t, m.addr, acknowledged)
	}
	t.Logf("%d writes acknowledged, none lost; %d checks, none failed", len(acknowledged), load.checks.Load())
}

// rollingLoad is callers of several replicas.
type rollingLoad struct {
	servers []*connection
	ctx     context.Context
	cancel  func()
	callers sync.WaitGroup
	checks  atomic.Int64
	writes  chan struct{}

	mutex        sync.Mutex
	acknowledged []string
}

func startRollingLoad(t *testing.T, addrs []string) *rollingLoad {
	t.Helper()
	l := &rollingLoad{writes: make(chan struct{}, 1<<20)}
	for _, addr := range addrs {
		server, err := (&cli{addr: addr}).connect()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.close)
		l.servers = append(l.servers, server)
	}
	l.ctx, l.cancel = context.WithCancel(t.Context())
	for caller := range 4 {
		l.callers.Go(func() { l.check(t, caller) })
		l.callers.Go(func() { l.write(t, caller) })
	}
	t.Cleanup(func() { l.stop() })
	return l
}

// check asks until the end. A replica that is away costs one more question, and never the answer.
func (l *rollingLoad) check(t *testing.T, caller int) {
	t.Helper()
	request := &consentv1.CheckRequest{Subject: "anna", Permissions: []string{"newsletter/email"}}
	for i := caller; l.ctx.Err() == nil; i++ {
		err := l.failOver(i, func(ctx context.Context, server *connection) error {
			_, err := server.permissions.Check(ctx, request)
			return err
		})
		if err != nil && l.ctx.Err() == nil {
			t.Errorf("no replica answers a check: %v", err)
			return
		}
		l.checks.Add(1)
	}
}

// failOver asks one replica after the other, each once.
func (l *rollingLoad) failOver(first int, ask func(context.Context, *connection) error) (err error) {
	for i := range l.servers {
		ctx, cancel := context.WithTimeout(l.ctx, patience)
		err = ask(ctx, l.servers[(first+i)%len(l.servers)])
		cancel()
		if err == nil || status.Code(err) != codes.Unavailable {
			return err
		}
	}
	return err
}

// write withdraws the consents of ever new subjects.
func (l *rollingLoad) write(t *testing.T, caller int) {
	t.Helper()
	for i := 0; l.ctx.Err() == nil; i++ {
		subject := fmt.Sprintf("rolling-%d-%d", caller, i)
		id, err := newRequestID()
		if err != nil {
			t.Error(err)
			return
		}
		request := &consentv1.WriteEventsRequest{RequestId: id, Events: []*consentv1.Event{{
			Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN, Scope: &consentv1.Scope{Permissions: []string{"newsletter/email"}},
		}}}
		for began := time.Now(); ; {
			err := l.failOver(caller+i, func(ctx context.Context, server *connection) error {
				_, err := server.records.WriteEvents(ctx, request)
				return err
			})
			if err == nil {
				break
			}
			if l.ctx.Err() != nil {
				return
			}
			if status.Code(err) != codes.Unavailable || time.Since(began) > patience {
				t.Errorf("a write isn't accepted: %v", err)
				return
			}
		}
		l.mutex.Lock()
		l.acknowledged = append(l.acknowledged, subject)
		l.mutex.Unlock()
		l.writes <- struct{}{}
	}
}

// more waits for more writes from now on.
func (l *rollingLoad) more(t *testing.T) {
	t.Helper()
	for len(l.writes) > 0 {
		<-l.writes
	}
	late := time.After(patience)
	for range 50 {
		select {
		case <-l.writes:
		case <-late:
			t.Fatal("too few writes are acknowledged")
		}
	}
}

// stop returns the subjects whose withdrawal was acknowledged.
func (l *rollingLoad) stop() []string {
	l.cancel()
	l.callers.Wait()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.acknowledged
}
