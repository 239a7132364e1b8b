package server

import (
	"context"
	"errors"
	"io"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

const (
	maxRows        = 1000 // of one message
	maxRowEvents   = 64
	enoughEvents   = 256 // a write waits for more rows only below this, and only for those that are there already
	maxInFlight    = 8   // writes of one import
	waitingUploads = 4   // messages read ahead
)

type importStream = grpc.BidiStreamingServer[consentv1.ImportEventsRequest, consentv1.ImportEventsResponse]

// ImportEvents writes rows, each by itself. Three goroutines share the work: one reads and validates messages, one packs their rows into
// writes and starts them, one waits for the writes in order and answers. What the first is ahead of the last is bounded by the channels
// between them, and so by what the state machine can take.
func (s *recordService) ImportEvents(stream importStream) error {
	i, err := s.newImport(stream)
	if err != nil {
		return ended(err)
	}
	group, ctx := errgroup.WithContext(stream.Context())
	uploads, flight := make(chan *upload, waitingUploads), make(chan departure, maxInFlight)
	group.Go(func() error { return s.contain(ctx, func() error { return i.read(ctx, uploads) }) })
	group.Go(func() error { return s.contain(ctx, func() error { return i.pack(ctx, uploads, flight) }) })
	group.Go(func() error { return s.contain(ctx, func() error { return i.answer(ctx, flight) }) })
	err = group.Wait()
	i.writes.Wait()
	return err
}

// read turns messages into uploads until there are no more.
func (i *importing) read(ctx context.Context, uploads chan<- *upload) error {
	defer close(uploads)
	last := uint64(0)
	for {
		message, err := i.receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		u, err := i.newUpload(message, &last)
		if err != nil {
			return err
		}
		select {
		case uploads <- u:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receive returns the next message. It doesn't wait for it when the import has failed elsewhere: then the stream is about to end, which
// ends the call that is left waiting.
func (i *importing) receive(ctx context.Context) (*consentv1.ImportEventsRequest, error) {
	type received struct {
		message *consentv1.ImportEventsRequest
		err     error
	}
	next := make(chan received, 1)
	i.streams.Go(func() {
		message, err := i.stream.Recv()
		next <- received{message, err}
	})
	select {
	case r := <-next:
		return r.message, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// departure is what is on its way to be answered, in order: a write to wait for, or an upload whose rows all went before.
type departure struct {
	parcel *parcel
	upload *upload
}

// pack fills parcels with rows and sends them off.
func (i *importing) pack(ctx context.Context, uploads <-chan *upload, flight chan<- departure) error {
	defer close(flight)
	p := packer{importing: i, flight: flight, parcel: new(parcel)}
	for {
		u, more := p.next(ctx, uploads)
		if u == nil {
			if err := p.depart(ctx); err != nil || !more {
				return err
			}
			continue
		}
		for r := range u.rows {
			if err := p.add(ctx, &u.rows[r]); err != nil {
				return err
			}
		}
		p.complete = append(p.complete, u)
	}
}

// packer holds the parcel that is being filled, and the uploads that it completes.
type packer struct {
	*importing
	flight   chan<- departure
	parcel   *parcel
	complete []*upload
}

// next returns the next upload, or nil if the parcel is to depart first: it is full enough, or nothing else is there yet.
func (p *packer) next(ctx context.Context, uploads <-chan *upload) (u *upload, more bool) {
	switch {
	case len(p.parcel.events) >= enoughEvents:
		return nil, true
	case len(p.parcel.events) == 0 && len(p.complete) == 0:
		select {
		case u, more = <-uploads:
			return u, more
		case <-ctx.Done():
			return nil, false
		}
	}
	select {
	case u, more = <-uploads:
		return u, more
	default:
		return nil, true
	}
}

// add puts a row into the parcel, after sending off one that has no room for it. A row is never divided.
func (p *packer) add(ctx context.Context, r *importRow) error {
	if len(p.parcel.events)+len(r.events) > maxEvents {
		if err := p.departParcel(ctx); err != nil {
			return err
		}
	}
	p.parcel.rows = append(p.parcel.rows, r)
	p.parcel.events = append(p.parcel.events, r.events...)
	return nil
}

// depart sends off the parcel and the uploads that are complete with it.
func (p *packer) depart(ctx context.Context) error {
	if err := p.departParcel(ctx); err != nil {
		return err
	}
	for _, u := range p.complete {
		if err := p.send(ctx, departure{upload: u}); err != nil {
			return err
		}
	}
	p.complete = p.complete[:0]
	return nil
}

func (p *packer) departParcel(ctx context.Context) error {
	if len(p.parcel.rows) == 0 {
		return nil
	}
	gone := p.parcel
	gone.done = make(chan struct{})
	p.parcel = new(parcel)
	if err := p.send(ctx, departure{parcel: gone}); err != nil {
		return err
	}
	p.writes.Go(func() {
		defer close(gone.done)
		gone.err = p.contain(ctx, func() error { return p.deliver(ctx, gone) })
	})
	return nil
}

func (p *packer) send(ctx context.Context, d departure) error {
	select {
	case p.flight <- d:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer waits for the writes in the order in which they departed, and answers each upload after all of its rows.
func (i *importing) answer(ctx context.Context, flight <-chan departure) error {
	var revision consent.Revision
	for d := range flight {
		if d.upload != nil {
			if err := i.stream.Send(d.upload.reply(i.token(revision))); err != nil {
				return err
			}
			continue
		}
		select {
		case <-d.parcel.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if d.parcel.err != nil {
			return d.parcel.err
		}
		if d.parcel.revision.Index >= revision.Index {
			revision = d.parcel.revision
		}
	}
	return nil
}
