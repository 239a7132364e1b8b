package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// flaky acknowledges some chunks on each connection, and breaks it then. It knows each row that it ever wrote.
type flaky struct {
	consentv1.UnimplementedRecordServiceServer
	broken func(chunk int) error // what to answer a chunk with, counted from 1 over all connections

	mutex   sync.Mutex
	chunks  int
	written map[uint64]bool
}

func (f *flaky) ImportEvents(s consentv1.RecordService_ImportEventsServer) error {
	if first, err := s.Recv(); err != nil || first.GetImport() == nil {
		return errors.New("the first message says what the import is")
	}
	for {
		request, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		reply, err := f.answer(request.GetRows().GetRows())
		if err != nil {
			return err
		}
		if err := s.Send(reply); err != nil {
			return err
		}
	}
}

func (f *flaky) answer(rows []*consentv1.ImportRow) (*consentv1.ImportEventsResponse, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.chunks++
	if err := f.broken(f.chunks); err != nil {
		return nil, err
	}
	reply := &consentv1.ImportEventsResponse{Revision: "r"}
	for _, row := range rows {
		effect := consentv1.Effect_EFFECT_APPLIED
		if f.written[row.GetRow()] {
			effect = consentv1.Effect_EFFECT_UNCHANGED
		}
		f.written[row.GetRow()] = true
		reply.Results = append(reply.Results, &consentv1.ImportRowResult{Row: row.GetRow(), Effects: []consentv1.Effect{effect}})
		reply.AcknowledgedRow = row.GetRow()
	}
	return reply, nil
}

// eventLines are n grants, one a line, of subjects that begin with the name.
func eventLines(name string, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"subject": "%s-%d", "kind": "EVENT_KIND_GRANTED", "occurred_at": "2024-01-01T00:00:00Z", `+
			`"scope": {"permissions": ["newsletter/email"]}}`+"\n", name, i)
	}
	return text.String()
}

// TestImportResumes breaks the connection again and again, at first before anything was acknowledged: every row is written once, and counted once.
func TestImportResumes(t *testing.T) {
	const rows = 5*importRows + 17
	f := &flaky{written: map[uint64]bool{}, broken: func(chunk int) error {
		if chunk%3 == 1 {
			return refusal(t, codes.Unavailable, "NOT_READY", "shutting down")
		}
		return nil
	}}
	addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterRecordServiceServer(s, f) })
	got := call{
		args: []string{"import", "-", "--format", "ndjson", "--addr", addr, "-o", "json"}, stdin: eventLines("s", rows) + "no event\n",
	}.run(t)
	if got.code != exitDone {
		t.Fatalf("exit code %d:\n%s", got.code, got.stderr)
	}
	out := decode[importOutput](t, got.stdout)
	rejects := out.Rejects
	out.Rejects = nil
	want := importOutput{
		Rows: rows + 1, Written: rows, Rejected: 1, ByReason: map[string]int{rejects[0].Reason: 1}, Revision: "r",
	}
	if diff := cmp.Diff(want, out); diff != "" || len(f.written) != rows {
		t.Errorf("%d rows arrived, want %d\n%s", len(f.written), rows, diff)
	}
	if len(rejects) != 1 || rejects[0].Line != rows+1 {
		t.Errorf("rejected: %+v", rejects)
	}
	if !strings.Contains(got.stderr, "the connection broke") || !strings.Contains(got.stderr, fmt.Sprintf(":%d: rejected: ", rows+1)) {
		t.Errorf("standard error:\n%s", got.stderr)
	}
}

// TestImportGivesUp breaks the connection for good: the message says how far the import came.
func TestImportGivesUp(t *testing.T) {
	f := &flaky{written: map[uint64]bool{}, broken: func(chunk int) error {
		if chunk > 1 {
			return refusal(t, codes.Unavailable, "NOT_READY", "shutting down")
		}
		return nil
	}}
	addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterRecordServiceServer(s, f) })
	got := call{
		args: []string{"import", "-", "--format", "ndjson", "--addr", addr, "--timeout", "200ms"}, stdin: eventLines("s", 2*importRows),
	}.run(t)
	want := fmt.Sprintf("%d rows were dealt with", importRows)
	if got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, want) {
		t.Errorf("exit code %d, standard error:\n%s\nwant %q", got.code, got.stderr, want)
	}
}

func TestImportRefused(t *testing.T) {
	f := &flaky{written: map[uint64]bool{}, broken: func(int) error {
		return refusal(t, codes.NotFound, "UNKNOWN_TENANT", "nothing is known of this tenant")
	}}
	addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterRecordServiceServer(s, f) })
	got := call{args: []string{"import", "-", "--format", "ndjson", "--addr", addr}, stdin: eventLines("s", 1)}.run(t)
	if got.code != exitFailed || !strings.Contains(got.stderr, "UNKNOWN_TENANT") || f.chunks != 1 {
		t.Errorf("exit code %d after %d chunks:\n%s", got.code, f.chunks, got.stderr)
	}
}
