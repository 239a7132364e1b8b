package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const (
	chunkSubjects = 5_000
	chunkBytes    = 1 << 20
	// chunksAhead is how many chunks are on their way. While the last of them is sent, the answers to those before wait to be read: of three bytes
	// a subject at most, where no id can be used. They fit into the 64 KiB that HTTP/2 lets a server send before any of it is read: so one
	// goroutine can send and receive, and the two ends never wait for each other to read.
	chunksAhead = 4
)

// Segment says what is asked of each subject of a segment.
type Segment struct {
	Permission   string
	SubjectType  consent.SubjectType
	SimilarGoods bool
	// Consistency is that of each chunk. Without one the data includes what this client wrote before the chunk was wanted.
	Consistency consent.Consistency
}

// Chunk is a part of a segment's subjects, and what was answered.
type Chunk struct {
	Subjects      []string
	Revision      consent.Revision // the answers are at least as new
	PolicyVersion int64
	Age           time.Duration       // how old the data may be
	CacheFor      time.Duration       // the shortest of the answers
	NextChange    consent.Time        // the earliest of the answers, or zero
	Obligations   consent.Obligations // that any ALLOW of the chunk carries

	reasons []byte // by subject; 0 for an id that can't be used
}

// Allowed reports whether the i-th subject of the chunk is allowed.
func (c *Chunk) Allowed(i int) bool { return c.Reason(i).Allows() }

// Reason returns why the i-th subject is allowed or denied, and 0 if its id can't be used: 1 to 256 bytes of UTF-8 can.
func (c *Chunk) Reason(i int) consent.Reason { return consent.Reason(c.reasons[i]) }

// CheckSegment decides one permission for any number of subjects, and returns the answers chunk by chunk, in order. An error is the last that
// is returned, and as one of Check: chunks before it hold. A stream that breaks is begun anew, and only what wasn't answered is asked again.
//
// Subjects are read as they are needed, while answers to those before are on their way. Answers that have become too old because the caller took
// long over the chunk before, and those from before a write of this client, are asked for again.
func (c *Client) CheckSegment(ctx context.Context, s Segment, subjects iter.Seq[string]) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		run := segmentRun{client: c, ctx: ctx, cancel: cancel, asked: s}
		for part := range chunksOf(subjects) {
			if run.ask(part); len(run.ahead) < chunksAhead {
				continue
			}
			if chunk, err := run.next(); !yield(chunk, err) || err != nil {
				return
			}
		}
		for len(run.ahead) > 0 {
			if chunk, err := run.next(); !yield(chunk, err) || err != nil {
				return
			}
		}
	}
}

// part is the subjects of a chunk, and how they are sent.
type part struct {
	subjects []string
	list     *consentv1.SubjectList
	sent     time.Time
}

// chunksOf cuts subjects into chunks.
func chunksOf(subjects iter.Seq[string]) iter.Seq[part] {
	return func(yield func(part) bool) {
		p := part{list: new(consentv1.SubjectList)}
		for subject := range subjects {
			p.add(subject)
			if len(p.subjects) < chunkSubjects && len(p.list.Packed) < chunkBytes {
				continue
			}
			if !yield(p) {
				return
			}
			p = part{list: new(consentv1.SubjectList)}
		}
		if len(p.subjects) > 0 {
			yield(p)
		}
	}
}

// add takes a subject on. An id that is too long is sent as none, which can't be used either.
func (p *part) add(subject string) {
	p.subjects = append(p.subjects, subject)
	if len(subject) > consent.MaxSubjectBytes {
		subject = ""
	}
	p.list.Packed = append(p.list.Packed, subject...)
	p.list.Lengths = append(p.list.Lengths, uint32(len(subject)))
}

// segmentRun is a segment on its way.
type segmentRun struct {
	client *Client
	ctx    context.Context //nolint:containedctx // of the call that it is
	cancel context.CancelCauseFunc
	asked  Segment

	stream consentv1.PermissionService_CheckSegmentClient // nil before the first, and after one broke
	end    context.CancelFunc                             // of the stream
	demand consent.Consistency                            // of the stream
	ahead  []part                                         // that aren't answered, oldest first
	wrote  consent.Revision                               // by the client, before the chunk was wanted; zero: nothing
}

// ask sends a chunk. That it can't be sent shows when the answer is read.
func (r *segmentRun) ask(p part) {
	r.ahead = append(r.ahead, p)
	if r.stream != nil {
		r.send(&r.ahead[len(r.ahead)-1])
	}
}

func (r *segmentRun) send(p *part) {
	p.sent = r.client.o.now()
	_ = r.stream.Send(&consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Subjects{Subjects: p.list}})
}

// next returns the oldest chunk with its answers. Those that came before it was wanted count only if they are as true now as if they had been
// asked for now: the caller may have taken his time over the chunk before, and may have written.
func (r *segmentRun) next() (chunk Chunk, err error) {
	c := r.client
	r.wrote = c.written.revision()
	until := c.until(r.ctx)
	err = c.read(r.ctx, until, r.asked.Consistency, func(d consent.Consistency) (err error) {
		chunk, err = r.once(until, d)
		return err
	})
	return chunk, err
}

// once reads the answers of the oldest chunk, on a new stream if there is none. After any error there is none.
func (r *segmentRun) once(until time.Time, d consent.Consistency) (chunk Chunk, err error) {
	if !until.IsZero() {
		late := time.AfterFunc(time.Until(until), func() { r.cancel(errTooLate) })
		defer late.Stop()
	}
	if r.stream == nil {
		err = r.open(d)
	}
	if err == nil {
		chunk, err = r.receive()
	}
	switch cause := context.Cause(r.ctx); {
	case err == nil:
		r.ahead = r.ahead[1:]
		return chunk, nil
	case cause != nil:
		err = cause
	case errors.Is(err, io.EOF):
		err = ErrUnreachable
	}
	if r.stream = nil; r.end != nil {
		r.end()
	}
	return Chunk{}, errorOf(err)
}

// open begins a stream, and asks on it what isn't answered.
func (r *segmentRun) open(d consent.Consistency) (err error) {
	var ctx context.Context
	ctx, r.end = context.WithCancel(r.ctx)
	if r.stream, err = r.client.permissions.CheckSegment(ctx); err != nil {
		return err
	}
	r.demand = d
	_ = r.stream.Send(&consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Segment{Segment: &consentv1.Segment{
		Tenant: r.client.tenant, Permission: r.asked.Permission, SubjectType: consentv1.SubjectType(r.asked.SubjectType),
		SimilarGoods: r.asked.SimilarGoods, Consistency: consistencyOf(d), Form: consentv1.SegmentForm_SEGMENT_FORM_REASONS,
	}}})
	for i := range r.ahead {
		r.send(&r.ahead[i])
	}
	return nil
}

func (r *segmentRun) receive() (Chunk, error) {
	reply, err := r.stream.Recv()
	if err != nil {
		return Chunk{}, err
	}
	t := told{policyVersion: reply.GetPolicyVersion(), age: reply.GetAge().AsDuration()}
	if reply.GetNextChange() == nil {
		t.left = reply.GetCacheFor().AsDuration()
	}
	g, err := r.client.groundOf(reply.GetRevision(), t, r.demand, r.ahead[0].sent)
	subjects := r.ahead[0].subjects
	switch {
	case err != nil:
		return Chunk{}, err
	case r.wrote.Epoch == g.revision.Epoch && r.wrote.Index > g.revision.Index:
		return Chunk{}, &consent.StaleError{Reached: g.revision}
	case len(reply.GetAnswers()) != len(subjects):
		return Chunk{}, errMisfit
	}
	obligations, err := obligationsOf(reply.GetObligations())
	if err != nil {
		return Chunk{}, err
	}
	return Chunk{
		Subjects: subjects, Revision: g.revision, PolicyVersion: g.policyVersion, Age: g.age, CacheFor: g.keep(reply.GetCacheFor().AsDuration()),
		NextChange: timeOf(reply.GetNextChange()), Obligations: obligations, reasons: reply.GetAnswers(),
	}, nil
}
