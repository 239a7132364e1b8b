package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// scripted is peers of whom each call gets the next answer, for all of its commands, and calls past the last answer get that.
type scripted struct {
	nobody
	answers []func(context.Context) ([]byte, error)
	asked   atomic.Int64
}

func (p *scripted) Propose(ctx context.Context, _ Peer, commands [][]byte) ([][]byte, error) {
	i := int(p.asked.Add(1)) - 1
	outcome, err := p.answers[min(i, len(p.answers)-1)](ctx)
	if err != nil {
		return nil, err
	}
	return slices.Repeat([][]byte{outcome}, len(commands)), nil
}

// following opens a node that takes another one for its leader, which answers by the script.
func following(t *testing.T, answers ...func(context.Context) ([]byte, error)) (*Node, *scripted) {
	t.Helper()
	p := &scripted{answers: answers}
	return followingPeers(t, p), p
}

// followingPeers opens a node that takes another one for its leader.
func followingPeers(t *testing.T, p Peers) *Node {
	t.Helper()
	o := memoryOptions(t, vfs.NewMem())
	o.Peers = p
	n := openNode(t, o)
	n.leader.reign.Store(newReign(nil, Peer{ID: "another"}))
	return n
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
		outcomes, err := n.Propose(t.Context(), [][]byte{command})
		if err != nil {
			t.Fatal(err)
		}
		_, err = decodeOutcome(outcomes[0], &aWrite)
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

// Commands that come while calls are on their way share the next one, and each gets its own outcome. Whoever gives up waiting knows that
// its command hasn't left.
func TestForwardedCommandsShareCalls(t *testing.T) {
	p := &held{calls: make(chan heldCall)}
	n := followingPeers(t, p)
	const writers = 50
	var writing sync.WaitGroup
	write := func() {
		writing.Go(func() {
			w := grant(t, "anna")
			if r, err := n.Write(t.Context(), w); err != nil || r.Stamp != markOf(w.RequestID) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	var inTheAir []heldCall
	for range maxCalls {
		write()
		inTheAir = append(inTheAir, <-p.calls)
	}
	write() // in the packer's hand
	waitFor(t, "it to be taken", func() bool { return len(n.calls.queue) == 0 })
	for range writers {
		write()
	}
	waitFor(t, "all to wait", func() bool { return len(n.calls.queue) == writers })
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := n.Write(ctx, grant(t, "berta"))
		left <- err
	}()
	waitFor(t, "the last to wait", func() bool { return len(n.calls.queue) == writers+1 })
	cancel()
	if err := <-left; !errors.Is(err, consent.ErrNotWritten) {
		t.Errorf("who gave up is told %v", err)
	}
	for _, call := range inTheAir {
		call.answer()
	}
	call := <-p.calls
	if len(call.commands) != 1+writers {
		t.Errorf("%d commands in the call, want %d", len(call.commands), 1+writers)
	}
	call.answer()
	writing.Wait()
	if calls, commands := n.calls.flights.Load(), n.Stats().Forwarded; calls != maxCalls+1 || commands != maxCalls+1+writers {
		t.Errorf("%d commands went in %d calls", commands, calls)
	}
}

// A call that is never answered keeps nobody longer than their own deadline, and ends when the last has gone.
func TestDeadlinesOfASharedCall(t *testing.T) {
	p := &held{calls: make(chan heldCall)}
	n := followingPeers(t, p)
	outcome := func(within time.Duration) <-chan error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		t.Cleanup(cancel)
		told := make(chan error, 1)
		go func() {
			_, err := n.Write(ctx, grant(t, "anna"))
			if ctx.Err() != nil {
				t.Errorf("the answer comes after the deadline of %s", within)
			}
			told <- err
		}()
		return told
	}
	var patient []<-chan error
	var blockers []heldCall
	for range maxCalls {
		patient = append(patient, outcome(time.Minute))
		blockers = append(blockers, <-p.calls)
	}
	patient = append(patient, outcome(time.Minute)) // in the packer's hand
	waitFor(t, "it to be taken", func() bool { return len(n.calls.queue) == 0 })
	short, long := outcome(400*time.Millisecond), outcome(time.Second)
	waitFor(t, "both to wait", func() bool { return len(n.calls.queue) == 2 })
	blockers[0].answer()
	shared := <-p.calls
	if len(shared.commands) != 3 {
		t.Fatalf("%d commands in the call, want 3", len(shared.commands))
	}
	for name, told := range map[string]<-chan error{"short": short, "long": long} {
		if err := <-told; !errors.Is(err, consent.ErrOutcomeUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n.leader.proclaim(newReign(nil, Peer{}))
	<-shared.ctx.Done()
	<-blockers[1].ctx.Done()
	n.leader.proclaim(newReign(nil, Peer{ID: "a third"}))
	for _, told := range patient { // again, or at last
		for answered := false; !answered; {
			select {
			case call := <-p.calls:
				call.answer()
			case err := <-told:
				if answered = true; err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// A command that can't be read spoils none that came with it.
func TestOneCommandOfACallCantBeRead(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	text := func(subject string) []byte {
		return store.EncodeCommand(store.Command{Write: n.pseudonymous(grant(t, subject))})
	}
	outcomes, err := n.Propose(t.Context(), [][]byte{text("anna"), []byte("garbage"), text("berta")})
	if err != nil || len(outcomes) != 3 {
		t.Fatalf("%d outcomes, %v", len(outcomes), err)
	}
	for i, want := range []error{nil, consent.ErrNotWritten, nil} {
		if _, err := decodeOutcome(outcomes[i], &aWrite); !errors.Is(err, want) {
			t.Errorf("command %d: %v, want %v", i, err, want)
		}
	}
}

// held is peers whose calls wait for the test.
type held struct {
	nobody
	calls chan heldCall
}

type heldCall struct {
	ctx      context.Context
	commands [][]byte
	done     chan struct{}
}

func (c heldCall) answer() { close(c.done) }

// Propose tells each command a stamp made of its request id.
func (p *held) Propose(ctx context.Context, _ Peer, commands [][]byte) ([][]byte, error) {
	call := heldCall{ctx, commands, make(chan struct{})}
	p.calls <- call
	select {
	case <-call.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var outcomes [][]byte
	for _, text := range commands {
		c, err := store.DecodeCommand(text)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, encodeOutcome(store.Result{Stamp: markOf(c.Write.RequestID)}, nil))
	}
	return outcomes, nil
}

func markOf(id consent.RequestID) consent.Time { return consent.Time(id[14])<<8 | consent.Time(id[15]) }
