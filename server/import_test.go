package server

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func importRows(from, n int, event func(i int) *consentv1.Event) *consentv1.ImportEventsRequest {
	rows := &consentv1.ImportRows{}
	for i := from; i < from+n; i++ {
		rows.Rows = append(rows.Rows, &consentv1.ImportRow{Row: uint64(i), Events: []*consentv1.Event{event(i)}})
	}
	return &consentv1.ImportEventsRequest{Message: &consentv1.ImportEventsRequest_Rows{Rows: rows}}
}

func importStart(i *consentv1.Import) *consentv1.ImportEventsRequest {
	return &consentv1.ImportEventsRequest{Message: &consentv1.ImportEventsRequest_Import{Import: i}}
}

func subjectGrant(i int) *consentv1.Event {
	return grant(fmt.Sprintf("s%d@example.org", i), "recommendations/web")
}

// importAll sends all the messages and returns all the answers.
func importAll(t *testing.T, r *rig, messages ...*consentv1.ImportEventsRequest) ([]*consentv1.ImportEventsResponse, error) {
	t.Helper()
	stream := must[consentv1.RecordService_ImportEventsClient](t)(r.records.ImportEvents(background(t)))
	for _, m := range messages {
		if err := stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var replies []*consentv1.ImportEventsResponse
	for {
		reply, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return replies, nil
		}
		if err != nil {
			return replies, err
		}
		replies = append(replies, reply)
	}
}

func TestImportEvents(t *testing.T) {
	r := newRig(t)
	messages := []*consentv1.ImportEventsRequest{importStart(&consentv1.Import{})}
	for i := range 20 {
		messages = append(messages, importRows(1+i*100, 100, subjectGrant))
	}
	replies, err := importAll(t, r, messages...)
	if err != nil || len(replies) != 20 {
		t.Fatalf("%d replies, error %v", len(replies), err)
	}
	for i, reply := range replies {
		if reply.GetAcknowledgedRow() != uint64(i+1)*100 || len(reply.GetResults()) != 100 || reply.GetRevision() == "" {
			t.Fatalf("reply %d: %v", i, reply)
		}
		for _, result := range reply.GetResults() {
			if !slices.Equal(result.GetEffects(), []consentv1.Effect{consentv1.Effect_EFFECT_APPLIED}) {
				t.Fatalf("row %v", result)
			}
		}
	}
	again, err := importAll(t, r, messages...)
	if err != nil || again[0].GetResults()[0].GetEffects()[0] != consentv1.Effect_EFFECT_UNCHANGED {
		t.Errorf("the same import again changes something: %v, error %v", again[0], err)
	}
}

// TestImportPacksRows holds the first write until all is sent: the rest must come in large writes.
func TestImportPacksRows(t *testing.T) {
	r := newRig(t)
	messages := []*consentv1.ImportEventsRequest{importStart(&consentv1.Import{})}
	for i := range 8 {
		messages = append(messages, importRows(1+i*1000, 1000, subjectGrant))
	}
	if _, err := importAll(t, r, messages...); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, n := range r.memory.sizes() {
		total += n
		if n < 256 || n > 1000 {
			t.Errorf("a write of %d events, want 256 to 1000", n)
		}
	}
	if total != 8000 {
		t.Errorf("%d events written", total)
	}
}

func TestImportRejectsRowsNotImports(t *testing.T) {
	r := newRig(t)
	bad := map[int]func(*consentv1.Event){
		2: func(e *consentv1.Event) { e.OccurredAt = nil },
		3: func(e *consentv1.Event) { e.Subject = "" },
		4: func(e *consentv1.Event) { e.Scope.Permissions = []string{"no/such"} },
		5: func(e *consentv1.Event) { e.Kind = 0 },
	}
	replies, err := importAll(t, r, importStart(&consentv1.Import{}), importRows(1, 6, func(i int) *consentv1.Event {
		e := subjectGrant(i)
		if f := bad[i]; f != nil {
			f(e)
		}
		return e
	}))
	if err != nil || len(replies) != 1 || replies[0].GetAcknowledgedRow() != 6 {
		t.Fatalf("replies %v, error %v", replies, err)
	}
	for _, result := range replies[0].GetResults() {
		rejected := result.GetStatus() != nil
		if _, want := bad[int(result.GetRow())]; rejected != want || rejected == (len(result.GetEffects()) > 0) {
			t.Errorf("row %v", result)
		}
		switch {
		case result.GetRow() == 4:
			wantStatus(t, status.FromProto(result.GetStatus()), codes.NotFound, "UNKNOWN_PERMISSION")
		case rejected:
			wantStatus(t, status.FromProto(result.GetStatus()), codes.InvalidArgument, "INVALID_ARGUMENT")
		}
	}
}

// TestImportOfTheFuture imports what lies ahead of the server's clock. A "yes" taken as of now would be another one at each import.
func TestImportOfTheFuture(t *testing.T) {
	start := time.Now()
	r := newRig(t, func(o *Options) { o.Now = func() time.Time { return start } })
	const scope = "newsletter/email"
	tests := []struct {
		event   *consentv1.Event
		refused bool
	}{
		{grant("a@example.org", scope), true},
		{&consentv1.Event{Kind: consentv1.EventKind_EVENT_KIND_REQUESTED}, true},
		{&consentv1.Event{Kind: consentv1.EventKind_EVENT_KIND_CONFIRMED}, true},
		{&consentv1.Event{Kind: consentv1.EventKind_EVENT_KIND_USED}, true},
		{&consentv1.Event{Kind: consentv1.EventKind_EVENT_KIND_EVIDENCE_ADDED, Evidence: &consentv1.Evidence{Source: "x"}}, true},
		{&consentv1.Event{Kind: consentv1.EventKind_EVENT_KIND_OBJECTION_LIFTED}, true},
		{&consentv1.Event{Kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN}, false},
		{&consentv1.Event{Kind: consentv1.EventKind_EVENT_KIND_OBJECTED}, false},
		{&consentv1.Event{
			Kind: consentv1.EventKind_EVENT_KIND_GRANTED, Evidence: &consentv1.Evidence{Method: consentv1.Method_METHOD_PRE_TICKED},
		}, false},
	}
	for _, ahead := range []time.Duration{0, time.Millisecond} {
		replies, err := importAll(t, r, importStart(&consentv1.Import{}), importRows(1, len(tests), func(i int) *consentv1.Event {
			e := tests[i-1].event
			e.Subject, e.Scope = fmt.Sprintf("s%d@example.org", i), &consentv1.Scope{Permissions: []string{scope}}
			e.OccurredAt = timestamppb.New(start.Add(ahead))
			return e
		}))
		if err != nil {
			t.Fatal(err)
		}
		for i, result := range replies[0].GetResults() {
			refused := tests[i].refused && ahead > 0
			switch {
			case refused:
				wantStatus(t, status.FromProto(result.GetStatus()), codes.FailedPrecondition, "FUTURE_TIME")
			case result.GetStatus() != nil:
				t.Errorf("%v, %s ahead: %v", tests[i].event.GetKind(), ahead, result.GetStatus())
			}
		}
	}
}

func TestImportValidateOnly(t *testing.T) {
	r := newRig(t)
	replies, err := importAll(t, r, importStart(&consentv1.Import{ValidateOnly: true}), importRows(1, 3, subjectGrant))
	if err != nil || len(replies) != 1 || replies[0].GetResults()[2].GetEffects()[0] != consentv1.Effect_EFFECT_APPLIED {
		t.Errorf("replies %v, error %v", replies, err)
	}
	if len(r.memory.sizes()) != 0 {
		t.Error("something was written")
	}
}

func TestImportRefuses(t *testing.T) {
	r := newRig(t)
	start := importStart(&consentv1.Import{})
	tests := []struct {
		name     string
		messages []*consentv1.ImportEventsRequest
		field    string
	}{
		{"rows first", []*consentv1.ImportEventsRequest{importRows(1, 1, subjectGrant)}, "import"},
		{"tenant", []*consentv1.ImportEventsRequest{importStart(&consentv1.Import{Tenant: "Ö"})}, "tenant"},
		{"a second start", []*consentv1.ImportEventsRequest{start, start}, "rows"},
		{"no rows", []*consentv1.ImportEventsRequest{start, importRows(1, 0, subjectGrant)}, "rows"},
		{"too many rows", []*consentv1.ImportEventsRequest{start, importRows(1, 1001, subjectGrant)}, "rows"},
		{"row zero", []*consentv1.ImportEventsRequest{start, importRows(0, 1, subjectGrant)}, "rows"},
		{"descending", []*consentv1.ImportEventsRequest{start, importRows(5, 1, subjectGrant), importRows(5, 1, subjectGrant)}, "rows"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := importAll(t, r, tt.messages...)
			wantViolation(t, err, tt.field)
		})
	}
	if replies, err := importAll(t, r); err != nil || len(replies) != 0 {
		t.Errorf("an empty stream: %v, error %v", replies, err)
	}
}

// TestImportEndsAtWhatItCantWrite: rows acknowledged before are written, and the caller goes on after them.
func TestImportEndsAtWhatItCantWrite(t *testing.T) {
	r := newRig(t)
	var writes atomic.Int64
	r.memory.failWith(func(call string) error {
		if call == "Write" && writes.Add(1) > 2 {
			return consent.ErrStorageFull
		}
		return nil
	})
	messages := []*consentv1.ImportEventsRequest{importStart(&consentv1.Import{})}
	for i := range 6 {
		messages = append(messages, importRows(1+i*1000, 1000, subjectGrant))
	}
	replies, err := importAll(t, r, messages...)
	wantError(t, err, codes.ResourceExhausted, "STORAGE_FULL")
	for _, reply := range replies {
		if reply.GetResults()[999].GetStatus() != nil {
			t.Errorf("a row was rejected for the disk: %v", reply.GetResults()[999])
		}
	}
}

// TestImportRepeatsWhatMayHaveHappened: under the same request id, so that nothing is written twice.
func TestImportRepeatsWhatMayHaveHappened(t *testing.T) {
	r := newRig(t)
	var writes atomic.Int64
	r.memory.failWith(func(call string) error {
		if call == "Write" && writes.Add(1) == 1 {
			return consent.ErrOutcomeUnknown
		}
		return nil
	})
	replies, err := importAll(t, r, importStart(&consentv1.Import{}), importRows(1, 10, subjectGrant))
	if err != nil || len(replies) != 1 || writes.Load() != 2 {
		t.Errorf("replies %v after %d writes, error %v", replies, writes.Load(), err)
	}
}

// TestImportDividesWhatIsRefused: the state machine refuses a write for one of its rows.
func TestImportDividesWhatIsRefused(t *testing.T) {
	r := newRig(t)
	var writes atomic.Int64
	r.memory.failWith(func(call string) error {
		if call == "Write" {
			if n := writes.Add(1); n == 1 || n == 3 {
				return consent.ErrTooManyNames
			}
		}
		return nil
	})
	replies, err := importAll(t, r, importStart(&consentv1.Import{}), importRows(1, 3, subjectGrant))
	if err != nil || len(replies) != 1 {
		t.Fatalf("replies %v, error %v", replies, err)
	}
	for _, result := range replies[0].GetResults() {
		if rejected := result.GetStatus() != nil; rejected != (result.GetRow() == 2) {
			t.Errorf("row %v", result)
		}
	}
}
