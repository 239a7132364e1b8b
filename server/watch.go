package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
)

var (
	// errSlowReader cuts off a reader of changes that doesn't keep up.
	errSlowReader = errors.New("this reader of changes was too slow, and was cut off: watch again, from the position that it has come to")
	// errRestoredMeanwhile ends a stream of changes that can't go on with the state that it began to describe.
	errRestoredMeanwhile = fmt.Errorf("a backup was restored meanwhile: %w", consent.ErrNotReady)
)

type watchStream = grpc.BidiStreamingServer[consentv1.WatchRequest, consentv1.WatchResponse]

// watchService keeps near caches true.
type watchService struct {
	consentv1.UnimplementedWatchServiceServer
	*core
}

// Watch sends what changes until the reader leaves or is cut off. One goroutine sends and one receives. A reader that takes nothing keeps
// the one that sends waiting for ever, so neither is waited for: the library ends them once this has returned, and Drain waits for that.
func (s *watchService) Watch(stream watchStream) error {
	first, err := stream.Recv()
	if err != nil {
		return ended(err)
	}
	r, err := s.newReader(stream, first.GetStart())
	if err != nil {
		return err
	}
	s.watches.readers.Inc()
	defer s.watches.readers.Dec()
	done := make(chan error, 2)
	for _, run := range []func() error{r.hear, r.tell} {
		s.streams.Go(func() { done <- s.contain(r.ctx, run) })
	}
	select {
	case err = <-done:
	case <-r.stuck:
		err = errSlowReader
	}
	if errors.Is(err, errSlowReader) {
		s.watches.cutOff.Inc()
	}
	return ended(err)
}

// Fill returns a copy of one record. The id has passed the reader's door, in the form that the tenant's policy asks for.
func (s *watchService) Fill(ctx context.Context, r *consentv1.FillRequest) (*consentv1.FillResponse, error) {
	tenant, err := tenantName(r.GetTenant())
	if err != nil {
		return nil, err
	}
	subject, err := subjectInForm(r.GetSubject())
	if err != nil {
		return nil, err
	}
	if r.GetEpoch() == 0 {
		return nil, invalid("epoch", "it is missing: give that of the position")
	}
	filled, err := s.watching.Fill(ctx, tenant, subject, consent.Revision{Epoch: r.GetEpoch(), Index: r.GetPosition()})
	if err != nil {
		return nil, err
	}
	return &consentv1.FillResponse{
		Epoch: filled.Revision.Epoch, Position: filled.Revision.Index, Bucket: filled.Bucket,
		Format: consent.RecordFormat, Record: filled.Record,
	}, nil
}
