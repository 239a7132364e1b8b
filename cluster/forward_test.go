package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// scripted is peers of whom each attempt to propose gets the next answer, and all others the last.
type scripted struct {
	nobody
	answers []func(context.Context) ([]byte, error)
	asked   atomic.Int64
}

func (p *scripted) Propose(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
	i := int(p.asked.Add(1)) - 1
	return p.answers[min(i, len(p.answers)-1)](ctx)
}

// following opens a node that takes another one for its leader, which answers by the script.
func following(t *testing.T, answers ...func(context.Context) ([]byte, error)) (*Node, *scripted) {
	t.Helper()
	p := &scripted{answers: answers}
	o := memoryOptions(t, vfs.NewMem())
	o.Peers = p
	n := openNode(t, o)
	n.leader.reign.Store(newReign(nil, Peer{ID: "another"}))
	return n, p
}

func answers(result store.Result, err error) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return encodeOutcome(result, err), nil }
}

func fails(err error) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return nil, err }
}

// What is told of a command is never better than it is known.
func TestWhatIsToldOfForwardedCommands(t *testing.T) {
	at := consent.Revision{Epoch: 1, Index: 7}
	done, lost := answers(store.Result{Revision: at}, nil), fails(errors.New("connection reset"))
	refused, unreached := answers(store.Result{}, consent.ErrETag), fails(consent.ErrUnreached)
	notLeading := answers(store.Result{}, notWritten(ErrNotLeading))
	tests := []struct {
		name    string
		answers []func(context.Context) ([]byte, error)
		want    error
		asked   int64 // 0: often, until the deadline
	}{
		{"at once", []func(context.Context) ([]byte, error){done}, nil, 1},
		{"after one that got lost", []func(context.Context) ([]byte, error){lost, done}, nil, 2},
		{"after one that didn't get there", []func(context.Context) ([]byte, error){unreached, done}, nil, 2},
		{"after one to whom doesn't lead", []func(context.Context) ([]byte, error){notLeading, notLeading, done}, nil, 3},
		{"refused", []func(context.Context) ([]byte, error){refused}, consent.ErrETag, 1},
		{"refused after one that didn't get there", []func(context.Context) ([]byte, error){unreached, refused}, consent.ErrETag, 2},
		{"refused after one that got lost", []func(context.Context) ([]byte, error){lost, refused}, consent.ErrOutcomeUnknown, 2},
		{"the leader has too much to do", []func(context.Context) ([]byte, error){answers(store.Result{}, consent.ErrOverloaded)},
			consent.ErrOverloaded, 1},
		{"the leader's disk is full", []func(context.Context) ([]byte, error){answers(store.Result{}, consent.ErrStorageFull)},
			consent.ErrStorageFull, 1},
		{"the same after one that got lost", []func(context.Context) ([]byte, error){lost, answers(store.Result{}, consent.ErrStorageFull)},
			consent.ErrOutcomeUnknown, 2},
		{"the leader's clock is wrong", []func(context.Context) ([]byte, error){answers(store.Result{}, notWritten(ErrClock))}, ErrClock, 1},
		{"nobody gets there", []func(context.Context) ([]byte, error){unreached}, consent.ErrNotWritten, 0},
		{"nobody leads", []func(context.Context) ([]byte, error){notLeading}, ErrNotLeading, 0},
		{"all get lost", []func(context.Context) ([]byte, error){lost}, consent.ErrOutcomeUnknown, 0},
		{"one got lost, and nobody gets there any more", []func(context.Context) ([]byte, error){lost, unreached},
			consent.ErrOutcomeUnknown, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, p := following(t, tt.answers...)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			result, err := n.Write(ctx, grant(t, "anna"))
			if !errors.Is(err, tt.want) || err == nil && result.Revision != at {
				t.Errorf("%+v, %v, want %v", result, err, tt.want)
			}
			if ctx.Err() != nil {
				t.Error("the answer comes after the caller's deadline")
			}
			if errors.Is(err, consent.ErrNotWritten) && errors.Is(err, consent.ErrOutcomeUnknown) {
				t.Errorf("%v is both certain and unknown", err)
			}
			if asked := p.asked.Load(); asked != tt.asked && (tt.asked != 0 || asked < 3) {
				t.Errorf("asked %d times, want %d", asked, tt.asked)
			}
		})
	}
}

// A call that is never answered is given up when another leads, and the caller's deadline is the leader's.
func TestForwardedCallEndsWithTheReign(t *testing.T) {
	silent := func(ctx context.Context) ([]byte, error) {
		if deadline, limited := ctx.Deadline(); !limited || time.Until(deadline) > writeWait {
			t.Errorf("the leader has until %s, limited: %t", deadline, limited)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	n, p := following(t, silent, answers(store.Result{Stamp: 5}, nil))
	go func() {
		for p.asked.Load() == 0 {
			<-time.After(time.Millisecond)
		}
		n.leader.proclaim(newReign(nil, Peer{ID: "a third"}))
	}()
	if r, err := n.Write(t.Context(), grant(t, "anna")); err != nil || r.Stamp != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}

// What another replica proposes is never passed on a second time, and nothing but what callers may write is proposed.
func TestProposalsOfOthers(t *testing.T) {
	n, p := following(t, answers(store.Result{}, nil))
	write := store.EncodeCommand(store.Command{Write: n.pseudonymous(grant(t, "anna"))})
	propose := func(n *Node, command []byte) error {
		t.Helper()
		text, err := n.Propose(t.Context(), command)
		if err != nil {
			t.Fatal(err)
		}
		_, err = decodeOutcome(text, &aWrite)
		return err
	}
	if err := propose(n, write); !errors.Is(err, consent.ErrNotWritten) || !errors.Is(err, ErrNotLeading) {
		t.Errorf("on a replica that doesn't lead: %v", err)
	}
	if asked := p.asked.Load(); asked != 0 {
		t.Errorf("it was passed on %d times", asked)
	}
	leading := openNode(t, memoryOptions(t, vfs.NewMem()))
	if err := propose(leading, write); err != nil {
		t.Errorf("on the leader: %v", err)
	}
	for name, command := range map[string][]byte{
		"nothing":      nil,
		"cut short":    write[:len(write)-1],
		"a term start": store.EncodeCommand(store.Command{TermStart: &store.TermStart{Term: 9}}),
		"a member":     store.EncodeCommand(store.Command{Member: &store.MemberCommand{ID: "n1", Removed: true}}),
	} {
		if err := propose(leading, command); !errors.Is(err, consent.ErrNotWritten) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
