package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// importEvents is how many events a command of an import carries at least.
const importEvents = 256

// BenchmarkImport imports grants of new subjects to one replica and to three: in commands of 256 events, eight of which are on their way
// at once as in the server's import, and through the server's import itself. An iteration is a command.
func BenchmarkImport(b *testing.B) {
	for _, size := range []int{1, 3} {
		b.Run(fmt.Sprintf("replicas=%d", size), func(b *testing.B) {
			c := newRealCluster(b, size)
			leader, _ := c.leader()
			b.Run("commands", func(b *testing.B) {
				importCommands(b, leader.Node, b.N)
				b.ReportMetric(float64(b.N)*importEvents/b.Elapsed().Seconds(), "events/s")
			})
			client := consentv1.NewRecordServiceClient(leader.dial())
			b.Run("gRPC", func(b *testing.B) {
				importRows(b, client, b.N*importEvents)
				b.ReportMetric(float64(b.N)*importEvents/b.Elapsed().Seconds(), "events/s")
			})
		})
	}
}

// subjects counts the subjects of all imports, so that none comes twice.
var subjects atomic.Int64

// importCommands writes so many commands of new subjects.
func importCommands(tb testing.TB, n *Node, commands int) {
	tb.Helper()
	const importers = 8
	var all sync.WaitGroup
	var begun atomic.Int64
	for range importers {
		all.Go(func() {
			for begun.Add(1) <= int64(commands) {
				if _, err := n.Write(context.Background(), grantsOfNew(tb, importEvents)); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
}

// grantsOfNew is a write of grants of subjects that nothing is known of.
func grantsOfNew(tb testing.TB, events int) consent.Write {
	tb.Helper()
	w := grant(tb, "")
	event := w.Events[0].Event
	event.OccurredAt = consent.TimeOf(time.Now().Add(-time.Hour))
	w.Events = make([]consent.SubjectEvent, events)
	last := subjects.Add(int64(events))
	for i := range w.Events {
		w.Events[i] = consent.SubjectEvent{Subject: importedSubject(last - int64(i)), Event: event}
	}
	return w
}

func importedSubject(number int64) string { return fmt.Sprintf("subject%d@example.com", number) }

// importRows imports so many rows of an event each.
func importRows(b *testing.B, client consentv1.RecordServiceClient, rows int) {
	b.Helper()
	stream, err := client.ImportEvents(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- sendRows(stream, rows) }()
	acknowledged := uint64(0)
	for {
		reply, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		for _, result := range reply.GetResults() {
			if result.GetStatus() != nil {
				b.Fatalf("row %d: %v", result.GetRow(), result.GetStatus())
			}
		}
		acknowledged = reply.GetAcknowledgedRow()
	}
	if err := <-sent; err != nil || acknowledged != uint64(rows) {
		b.Fatalf("%d of %d rows are acknowledged; sending them: %v", acknowledged, rows, err)
	}
}

func sendRows(stream consentv1.RecordService_ImportEventsClient, rows int) error {
	head := &consentv1.Import{Tenant: "shop"}
	if err := stream.Send(&consentv1.ImportEventsRequest{Message: &consentv1.ImportEventsRequest_Import{Import: head}}); err != nil {
		return err
	}
	const inMessage = 1000
	event := &consentv1.Event{
		Kind: consentv1.EventKind_EVENT_KIND_GRANTED, OccurredAt: timestamppb.New(time.Now().Add(-time.Hour)),
		Scope:    &consentv1.Scope{Permissions: []string{"newsletter/email"}},
		Evidence: &consentv1.Evidence{NoticeVersion: 3, Method: consentv1.Method_METHOD_WEB_FORM, Source: "checkout", Reference: "form 7"},
	}
	for next := 1; next <= rows; {
		message := &consentv1.ImportRows{}
		for ; next <= rows && len(message.Rows) < inMessage; next++ {
			message.Rows = append(message.Rows, &consentv1.ImportRow{Row: uint64(next), Events: []*consentv1.Event{{
				Subject: importedSubject(subjects.Add(1)), Kind: event.Kind, OccurredAt: event.OccurredAt, Scope: event.Scope, Evidence: event.Evidence,
			}}})
		}
		if err := stream.Send(&consentv1.ImportEventsRequest{Message: &consentv1.ImportEventsRequest_Rows{Rows: message}}); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}
