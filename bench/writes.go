package bench

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// newcomer returns a subject whom nobody knows.
func (l *load) newcomer() string {
	return "newcomer-" + strconv.FormatUint(l.run, 36) + "-" + strconv.FormatUint(l.fresh.Add(1), 10)
}

// openWrite writes one grant.
func openWrite(l *load) (request, error) {
	records := consentv1.NewRecordServiceClient(l.conn())
	return func(ctx context.Context, _ uint64) outcome {
		write := &consentv1.WriteEventsRequest{Tenant: l.o.Tenant, Events: []*consentv1.Event{granted(l.newcomer(), time.Now())}}
		reply, err := records.WriteEvents(ctx, write)
		if err != nil {
			return outcome{err: err}
		}
		o := outcome{units: 1, checked: 1}
		if len(reply.GetEffects()) != 1 || reply.GetEffects()[0] != consentv1.Effect_EFFECT_APPLIED {
			o.wrong = 1
		}
		return o
	}, nil
}

// openMixed writes with every twentieth request.
func openMixed(l *load) (request, error) {
	check, err := openCheck(l)
	if err != nil {
		return nil, err
	}
	write, err := openWrite(l)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, i uint64) outcome {
		if i%20 == 0 {
			return write(ctx, i)
		}
		return check(ctx, i)
	}, nil
}

// openImport sends rows over a stream that the caller keeps.
func openImport(l *load) (request, error) {
	const together = 1000
	var in *importStream
	conn := l.conn()
	row := uint64(0)
	return func(ctx context.Context, _ uint64) outcome {
		var err error
		if in == nil {
			if in, err = openImportStream(context.Background(), conn, l.o.Tenant); err != nil { // it outlives the request
				return outcome{err: err}
			}
		}
		defer context.AfterFunc(ctx, in.cancel)()
		var rows []*consentv1.ImportRow
		at := time.Now().Add(-time.Hour)
		for range together {
			row++
			rows = append(rows, &consentv1.ImportRow{Row: row, Events: []*consentv1.Event{granted(l.newcomer(), at)}})
		}
		applied, err := in.send(rows)
		if err != nil {
			in.cancel()
			in = nil
			return outcome{err: err}
		}
		return outcome{units: together, checked: together, wrong: together - applied}
	}, nil
}

// importStream sends rows and waits for what became of them.
type importStream struct {
	stream consentv1.RecordService_ImportEventsClient
	cancel context.CancelFunc
}

func openImportStream(ctx context.Context, conn *grpc.ClientConn, tenant string) (*importStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := consentv1.NewRecordServiceClient(conn).ImportEvents(ctx)
	if err == nil {
		begin := &consentv1.ImportEventsRequest_Import{Import: &consentv1.Import{Tenant: tenant}}
		err = stream.Send(&consentv1.ImportEventsRequest{Message: begin})
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &importStream{stream, cancel}, nil
}

// send returns how many of the rows, each by all of its events, changed a record.
func (s *importStream) send(rows []*consentv1.ImportRow) (applied uint64, err error) {
	message := &consentv1.ImportEventsRequest_Rows{Rows: &consentv1.ImportRows{Rows: rows}}
	if err := s.stream.Send(&consentv1.ImportEventsRequest{Message: message}); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	reply, err := s.stream.Recv()
	switch {
	case err != nil:
		return 0, err
	case len(reply.GetResults()) != len(rows):
		return 0, errUnanswered
	}
	for _, r := range reply.GetResults() {
		if r.GetStatus() != nil {
			return 0, status.ErrorProto(r.GetStatus())
		}
		if !slices.ContainsFunc(r.GetEffects(), func(e consentv1.Effect) bool { return e != consentv1.Effect_EFFECT_APPLIED }) {
			applied++
		}
	}
	return applied, nil
}

// finish ends the stream after what was sent.
func (s *importStream) finish() error {
	defer s.cancel()
	if err := s.stream.CloseSend(); err != nil {
		return err
	}
	if _, err := s.stream.Recv(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
