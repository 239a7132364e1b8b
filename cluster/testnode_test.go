package cluster

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
	"github.com/google/uuid"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	faultsTest()
	if exitingTest() {
		return
	}
	goleak.VerifyTestMain(m)
}

// backend is what the server asks of a replica: its interfaces State, Records and Policies in one.
type backend interface {
	View(ctx context.Context, c consent.Consistency) (consent.View, error)
	Record(ctx context.Context, t *consent.Tenant, subject string, buf *consent.Buffer) (consent.Record, error)
	Write(ctx context.Context, w consent.Write) (consent.WriteResult, error)
	Preview(ctx context.Context, w consent.Write) (consent.WriteResult, error)
	History(ctx context.Context, t *consent.Tenant, subject string, page consent.HistoryPage) ([]consent.RecordedEvent, bool, error)
	EachRecord(ctx context.Context, t *consent.Tenant, f func(consent.Record) error) error
	ClusterBound() time.Duration
	PutPolicy(ctx context.Context, p consent.PolicyPut) (consent.PolicyVersion, bool, error)
	Policy(ctx context.Context, tenant string, version int64) (consent.PolicyVersion, error)
	PolicyVersions(ctx context.Context, tenant string, before int64, limit int) ([]consent.PolicyVersion, error)
}

var _ backend = (*Node)(nil)

// quick makes elections short.
var quick = tuning{election: 20 * time.Millisecond, inspection: 20 * time.Millisecond}

// memoryOptions are those of a node on a file system in memory. Its key lies on the real one.
func memoryOptions(tb testing.TB, fs vfs.FS) Options {
	tb.Helper()
	return Options{
		DataDir: "data", FS: fs, PseudonymKeyFile: filepath.Join(tb.TempDir(), "pseudonym.key"), MaxStaleness: time.Hour, tuning: quick,
	}
}

// openNode opens a node and waits until it is ready. It is closed with the test.
func openNode(tb testing.TB, o Options) *Node {
	tb.Helper()
	n, err := Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Errorf("closing the node: %v", err)
		}
	})
	waitReady(tb, n)
	return n
}

func closeNode(tb testing.TB, n *Node) {
	tb.Helper()
	if err := n.Close(); err != nil {
		tb.Fatal(err)
	}
}

// waitReady waits for the first proof of freshness.
func waitReady(tb testing.TB, n *Node) {
	tb.Helper()
	waitFor(tb, "the node to be ready", func() bool { return n.Ready() == nil })
}

// waitFor waits until a condition holds.
func waitFor(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited a minute for %s", what)
		}
	}
}

func newRequestID(tb testing.TB) consent.RequestID {
	tb.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		tb.Fatal(err)
	}
	return consent.RequestID(id)
}

// grant is a write of one grant.
func grant(tb testing.TB, subject string) consent.Write {
	tb.Helper()
	return consent.Write{Tenant: "shop", RequestID: newRequestID(tb), Events: []consent.SubjectEvent{{
		Subject: subject,
		Event: consent.Event{
			Kind:     consent.Granted,
			Scope:    consent.Scope{Permissions: []string{"newsletter/email"}},
			Evidence: consent.Evidence{NoticeVersion: 3, Method: consent.MethodWebForm, Source: "checkout", Reference: "form 7"},
		},
	}}}
}

func mustWrite(tb testing.TB, n *Node, w consent.Write) consent.WriteResult {
	tb.Helper()
	r, err := n.Write(tb.Context(), w)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// historyOf returns a subject's events.
func historyOf(tb testing.TB, n *Node, subject string) []consent.RecordedEvent {
	tb.Helper()
	tenant := n.store.Head().Tenants["shop"]
	if tenant == nil {
		return nil
	}
	events, more, err := n.History(tb.Context(), tenant, subject, consent.HistoryPage{Limit: 1000})
	if err != nil || more {
		tb.Fatalf("history of %s: more %t, %v", subject, more, err)
	}
	return events
}

func stateHash(tb testing.TB, n *Node) [32]byte {
	tb.Helper()
	hash, err := n.store.StateHash()
	if err != nil {
		tb.Fatal(err)
	}
	return hash
}
