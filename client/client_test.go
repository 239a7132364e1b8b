package client

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestEveryWayAnswersAlike asks the same by every way there is.
func TestEveryWayAnswersAlike(t *testing.T) {
	r := newRig(t, 2)
	socket := r.serve(t, "unix://"+t.TempDir()+"/s")
	for name, c := range map[string]*Client{
		"stream": r.dial(t), "unary": r.dial(t, WithUnaryCalls()), "socket": dial(t, socket.address),
	} {
		t.Run(name, func(t *testing.T) {
			yes, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
			if err != nil || !yes.Allowed || yes.Reason != consent.ReasonConsent || yes.Basis != consent.BasisConsent {
				t.Errorf("%+v, %v", yes, err)
			}
			if yes.Revision.Index == 0 || yes.PolicyVersion != 1 || yes.CacheFor <= 0 {
				t.Errorf("the answer lacks revision, policy or time to keep it: %+v", yes)
			}
			no, err := c.Check(t.Context(), Question{Subject: nobody, Permission: newsletter})
			if err != nil || no.Allowed || no.Reason == 0 {
				t.Errorf("%+v, %v", no, err)
			}
			if !c.Allowed(t.Context(), strings.ToUpper(anna), newsletter) || c.Allowed(t.Context(), nobody, newsletter) {
				t.Error("Allowed says otherwise")
			}
			if c.ForTenant("other").Allowed(t.Context(), anna, newsletter) {
				t.Error("the other tenant allows too")
			}
			checkAllAlike(t, c, yes.Decision, no.Decision)
		})
	}
}

// checkAllAlike asks for several answers at once.
func checkAllAlike(t *testing.T, c *Client, yes, no consent.Decision) {
	t.Helper()
	results, err := c.CheckAll(t.Context(), Question{Subject: anna}, newsletter, "no/such", "crm_storage")
	if err != nil || len(results) != 3 {
		t.Fatal(results, err)
	}
	if results[0].Decision != yes || results[0].Err != nil || results[2].Err != nil || results[2].Reason != consent.ReasonLegalObligation {
		t.Errorf("results %+v", results)
	}
	if !errors.Is(results[1].Err, ErrUnknownPermission) || results[1].Allowed {
		t.Errorf("what isn't declared: %+v", results[1])
	}
	results, err = c.BatchCheck(t.Context(), []Question{
		{Subject: anna, Permission: newsletter}, {Subject: nobody, Permission: newsletter}, {Subject: "", Permission: newsletter},
	})
	if err != nil || len(results) != 3 {
		t.Fatal(results, err)
	}
	if results[0].Decision != yes || results[1].Decision != no || !errors.Is(results[2].Err, ErrInvalid) {
		t.Errorf("results %+v", results)
	}
	var chunks []Chunk
	for chunk, err := range c.CheckSegment(t.Context(), Segment{Permission: newsletter}, slices.Values([]string{anna, nobody, "", "\xff"})) {
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, chunk)
	}
	if len(chunks) != 1 || !chunks[0].Allowed(0) || chunks[0].Reason(1) != no.Reason || chunks[0].Allowed(1) {
		t.Fatalf("chunks %+v", chunks)
	}
	for i := range 2 {
		if one := &chunks[0]; one.Reason(2+i) != 0 || one.Allowed(2+i) {
			t.Errorf("an id that can't be used is answered by %v", one.Reason(2+i))
		}
	}
	explained, err := c.Explain(t.Context(), &consentv1.ExplainRequest{Subject: nobody, Permissions: []string{newsletter}})
	if err != nil || len(explained.GetExplanations()) != 1 {
		t.Fatal(explained, err)
	}
	got := explained.GetExplanations()[0].GetAnswer()
	if got.GetDecision() != consentv1.Decision_DECISION_DENY || consent.Reason(got.GetReason()) != no.Reason { //nolint:gosec // there are few
		t.Errorf("explained %+v, decided %+v", got, no)
	}
}

// TestLongSegments: several chunks on their way at once, in order.
func TestLongSegments(t *testing.T) {
	c := newRig(t, 1).dial(t)
	const subjects = 6*chunkSubjects + 1
	ids := func(yield func(string) bool) {
		for i := range subjects {
			id := nobody
			if i%2 == 0 {
				id = anna
			}
			if !yield(id) {
				return
			}
		}
	}
	seen := 0
	for chunk, err := range c.CheckSegment(t.Context(), Segment{Permission: newsletter}, ids) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range chunk.Subjects {
			if chunk.Allowed(i) != (seen%2 == 0) {
				t.Fatalf("subject %d: %v", seen, chunk.Reason(i))
			}
			seen++
		}
	}
	if seen != subjects {
		t.Errorf("%d subjects answered, want %d", seen, subjects)
	}
	for range c.CheckSegment(t.Context(), Segment{Permission: newsletter}, ids) {
		break // leaves chunks on their way
	}
}

// TestSegmentsWithLongAnswers: the longest answers there are wait to be read while the largest chunk is sent. That two ends which both only
// send would block isn't shown here: the library's own buffers take more than a test can tell.
func TestSegmentsWithLongAnswers(t *testing.T) {
	c := newRig(t, 1).dial(t)
	short := slices.Repeat([]string{"\xff"}, (chunksAhead-1)*chunkSubjects) // no id can be used, and each is named in the answer
	long := slices.Repeat([]string{strings.Repeat("\xff", consent.MaxSubjectBytes)}, chunkBytes/consent.MaxSubjectBytes)
	ids := slices.Concat(short, long, short, long)
	for chunk, err := range c.CheckSegment(t.Context(), Segment{Permission: newsletter}, slices.Values(ids)) {
		if err != nil || chunk.Reason(0) != 0 {
			t.Fatal(chunk.Age, err)
		}
	}
}

// TestReadsItsWrites: what was written is in every later answer, by whichever replica.
func TestReadsItsWrites(t *testing.T) {
	r := newRig(t, 3)
	for name, c := range map[string]*Client{"stream": r.dial(t), "unary": r.dial(t, WithUnaryCalls())} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				written, err := c.Write(t.Context(), withdrawal(anna))
				if err != nil {
					t.Fatal(err)
				}
				at, err := consent.ParseRevision(written.GetRevision())
				if err != nil {
					t.Fatal(err)
				}
				answer, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
				if err != nil || answer.Allowed || !includes(answer.Revision, at) {
					t.Fatalf("%+v, %v: written at %v", answer, err, at)
				}
			}
		})
	}
}

// TestForeignRevisions: one that the client carries of its own accord is forgotten with its epoch; one that the caller gave is an error.
func TestForeignRevisions(t *testing.T) {
	c := newRig(t, 1).dial(t)
	foreign := consent.Revision{Epoch: 99, Index: 7}
	for epoch := range uint64(2) {
		c.written.note(consent.Revision{Epoch: foreign.Epoch + epoch, Index: foreign.Index}, 0)
		c.written.note(consent.Revision{Epoch: foreign.Epoch + 9 + epoch, Index: foreign.Index}, 0) // a rival
		if !c.Allowed(t.Context(), anna, newsletter) {
			t.Error("an epoch that is over stands in the way")
		}
		if got := c.written.revision(); got != (consent.Revision{}) {
			t.Errorf("%v isn't forgotten", got)
		}
	}
	q := Question{Subject: anna, Permission: newsletter, Consistency: consent.Consistency{AtLeast: foreign}}
	if _, err := c.Check(t.Context(), q); !errors.Is(err, consent.ErrEpoch) {
		t.Errorf("a foreign revision of the caller's: %v", err)
	}
}

// TestClosed: whoever asks a closed client is told so.
func TestClosed(t *testing.T) {
	r := newRig(t, 1)
	for _, opts := range [][]Option{nil, {WithUnaryCalls()}, {WithNearCache(nearBytes)}} {
		c := r.dial(t, opts...)
		c.Close()
		c.Close()
		_, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
		if !errors.Is(err, ErrClosed) || c.Allowed(t.Context(), anna, newsletter) {
			t.Errorf("a closed client says %v", err)
		}
		if _, err := c.Write(t.Context(), withdrawal(anna)); !errors.Is(err, ErrClosed) || errors.Is(err, consent.ErrOutcomeUnknown) {
			t.Errorf("a closed client says of a write: %v", err)
		}
	}
}

// TestDialToNobody: the error says once that nobody is ready, and why in the system's words, also if the time ran out during a try.
func TestDialToNobody(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nobody")
	_, err := Dial(contextFor(t, time.Second), "unix://"+socket)
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, consent.ErrNotReady) {
		t.Fatalf("error %v, want ErrUnreachable, which is a consent.ErrNotReady", err)
	}
	want := "dialing unix://" + socket + ": no replica could be reached that is ready: ask again, or look at the replicas (dial unix " + socket +
		": connect: no such file or directory)"
	if err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// TestReadyKeepsTheReason: a try that the deadline cuts off doesn't hide what the one before it said.
func TestReadyKeepsTheReason(t *testing.T) {
	tries := 0
	refuseThenHang := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
		if tries++; tries == 1 {
			return status.Error(codes.Unavailable, "refused")
		}
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	c, err := Dial(t.Context(), "127.0.0.1:1", WithoutWaiting(), WithDialOptions(grpc.WithUnaryInterceptor(refuseThenHang)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ready(contextFor(t, time.Second)); tries < 2 || !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("after %d tries: %v, want that the first was refused", tries, err)
	}
}

// TestDialWaitsForAReplica: and says in the end what it waited for.
func TestDialWaitsForAReplica(t *testing.T) {
	r := newRig(t, 1)
	address := r.servers[0].address
	r.servers[0].kill()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := Dial(ctx, address, WithDialOptions())
		failed <- err
	}()
	cancel()
	if err := <-failed; err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("error %v", err)
	}
	dialed := make(chan *Client, 1)
	go func() {
		c, err := Dial(t.Context(), address)
		if err != nil {
			t.Error(err)
		}
		dialed <- c
	}()
	r.serve(t, address)
	if c := <-dialed; c != nil {
		defer c.Close()
		if !c.Allowed(t.Context(), anna, newsletter) {
			t.Error("denied once it is there")
		}
	}
}
