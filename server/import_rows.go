package server

import (
	"context"
	"errors"
	"sync"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc/codes"
)

// importing is one import.
type importing struct {
	*core
	stream importStream
	name   string // of the tenant
	write  func(context.Context, consent.Write) (consent.WriteResult, error)
	alone  bool // each row in a write of its own
	writes sync.WaitGroup
}

// newImport reads the first message, which says what the import is.
func (s *recordService) newImport(stream importStream) (*importing, error) {
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if first.GetImport() == nil {
		return nil, invalid("import", "the first message has to say what the import is")
	}
	name, err := tenantName(first.GetImport().GetTenant())
	if err != nil {
		return nil, err
	}
	i := &importing{core: s.core, stream: stream, name: name, write: s.records.Write}
	if first.GetImport().GetValidateOnly() {
		i.write, i.alone = s.records.Preview, true
	}
	return i, nil
}

// upload is one message of rows, and the answers to it.
type upload struct {
	rows    []importRow // those to be written
	results []consentv1.ImportRowResult
	last    uint64
}

// importRow is a row that is to be written.
type importRow struct {
	events []consent.SubjectEvent
	result *consentv1.ImportRowResult
}

// newUpload validates the rows of a message. A row that can't be used has its answer already.
func (i *importing) newUpload(message *consentv1.ImportEventsRequest, last *uint64) (*upload, error) {
	if message.GetRows() == nil {
		return nil, invalid("rows", "every message after the first has to hold rows")
	}
	rows := message.GetRows().GetRows()
	if n := len(rows); n == 0 || n > maxRows {
		return nil, invalid("rows", "%d rows: send 1 to %d in a message", n, maxRows)
	}
	ctx := i.stream.Context()
	target, err := i.targetOf(ctx, i.name)
	if err != nil {
		return nil, err
	}
	u := &upload{results: make([]consentv1.ImportRowResult, len(rows)), rows: make([]importRow, 0, len(rows))}
	for n, row := range rows {
		if row.GetRow() <= *last {
			return nil, invalid("rows", "row %d comes after row %d: number rows from 1 in ascending order", row.GetRow(), *last)
		}
		*last = row.GetRow()
		u.results[n].Row = row.GetRow()
		if err := i.addRow(ctx, u, row, &u.results[n], target); err != nil {
			return nil, err
		}
	}
	u.last = *last
	return u, nil
}

// addRow adds a row to those that are to be written, or tells its result why it can't be. It returns why the import can't go on.
func (i *importing) addRow(
	ctx context.Context, u *upload, row *consentv1.ImportRow, result *consentv1.ImportRowResult, target *target,
) error {
	var events []consent.SubjectEvent
	err := target.validate(ctx, func(t *consent.Tenant) (err error) {
		events, err = rowEvents(row, t, consent.TimeOf(i.now()))
		return err
	})
	switch {
	case err == nil:
		u.rows = append(u.rows, importRow{events, result})
	case endsImport(err):
		return err
	default:
		result.Status = i.itemStatus(ctx, err)
	}
	return nil
}

// rowEvents validates the events of a row. What isn't a "no" and lies in the future is refused: clamped to the moment of each import, it
// would bring back what was withdrawn between two imports of the same list.
func rowEvents(row *consentv1.ImportRow, t *consent.Tenant, now consent.Time) ([]consent.SubjectEvent, error) {
	if n := len(row.GetEvents()); n == 0 || n > maxRowEvents {
		return nil, invalid("events", "%d events: a row has 1 to %d", n, maxRowEvents)
	}
	events, err := subjectEvents("events", row.GetEvents(), t, now)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if e.Event.OccurredAt == 0 {
			return nil, invalid("events.occurred_at", "it is missing: what is imported happened at some time, and that isn't now")
		}
		if e.Event.OccurredAt > now && !e.Event.IsNo() {
			return nil, errFutureTime
		}
	}
	return events, nil
}

func (u *upload) reply(revision string) *consentv1.ImportEventsResponse {
	return &consentv1.ImportEventsResponse{Results: pointers(u.results), AcknowledgedRow: u.last, Revision: revision}
}

// parcel is the rows of one write.
type parcel struct {
	rows     []*importRow
	events   []consent.SubjectEvent
	revision consent.Revision
	done     chan struct{} // closed once the rest is set
	err      error         // the import can't go on
}

// deliver writes a parcel. If the state machine refuses it, each row is tried by itself, so that one can't take others down.
func (i *importing) deliver(ctx context.Context, p *parcel) error {
	if !i.alone {
		result, err := i.attempt(ctx, p.events)
		if err == nil {
			p.landed(p.rows, result)
			return nil
		}
		if endsImport(err) {
			return err
		}
	}
	for r, row := range p.rows {
		result, err := i.attempt(ctx, row.events)
		switch {
		case err == nil:
			p.landed(p.rows[r:r+1], result)
		case endsImport(err):
			return err
		default:
			row.result.Status = i.itemStatus(ctx, err)
		}
	}
	return nil
}

// attempt writes events under a new request id, and once more under the same if it isn't known whether that happened.
func (i *importing) attempt(ctx context.Context, events []consent.SubjectEvent) (consent.WriteResult, error) {
	id, err := requestID("")
	if err != nil {
		return consent.WriteResult{}, err
	}
	write := consent.Write{Tenant: i.name, RequestID: id, Events: events}
	result, err := i.write(ctx, write)
	if errors.Is(err, consent.ErrOutcomeUnknown) || errors.Is(err, consent.ErrNotWritten) {
		result, err = i.write(ctx, write)
	}
	return result, err
}

// endsImport reports whether an error says nothing about the rows: the caller goes on later from the last row acknowledged.
func endsImport(err error) bool {
	switch statusOf(err).Code() {
	case codes.Unavailable, codes.ResourceExhausted, codes.Canceled, codes.DeadlineExceeded, codes.Internal:
		return true
	default:
		return false
	}
}

// landed notes the effects of rows that were written together.
func (p *parcel) landed(rows []*importRow, result consent.WriteResult) {
	if result.Revision.Index >= p.revision.Index {
		p.revision = result.Revision
	}
	effects := protoEffects(result.Effects)
	for _, row := range rows {
		n := len(row.events)
		row.result.Effects, effects = effects[:n:n], effects[n:]
	}
}
