//go:build linux

package bench_test

import (
	"fmt"
	"testing"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const chunkSubjects = 10_000

// benchmarkSegment measures what a replica needs of its processors to decide chunks of 10,000 subjects, drawn from all that it holds, and how
// long a chunk takes. One caller asks over a unix socket, for one chunk after the other. An iteration is a chunk.
func benchmarkSegment(b *testing.B, replica *process) {
	chunks := drawChunks(128, heldSubjects())
	b.Run(fmt.Sprintf("segment/held=%d", heldSubjects()), func(b *testing.B) {
		segment := replica.openSegment(b)
		segment.ask(b, chunks[0])
		b.ResetTimer()
		replica.costs(b, b.N*chunkSubjects, func() (took []time.Duration) {
			for n := range b.N {
				took = append(took, segment.ask(b, chunks[n%len(chunks)]))
			}
			return took
		})
	})
}

// askedChunk is a chunk to ask for, and how many of its subjects are allowed.
type askedChunk struct {
	message *consentv1.CheckSegmentRequest
	allowed int64
}

func drawChunks(count, from int) []askedChunk {
	chunks, numbers := make([]askedChunk, count), drawn(count*chunkSubjects, from)
	for i := range chunks {
		list := &consentv1.SubjectList{}
		for _, n := range numbers[i*chunkSubjects : (i+1)*chunkSubjects] {
			id := subjectID(n)
			list.Packed = append(list.Packed, id...)
			list.Lengths = append(list.Lengths, uint32(len(id))) //nolint:gosec // no id is long
			chunks[i].allowed += int64(1 - n%2)
		}
		chunks[i].message = &consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Subjects{Subjects: list}}
	}
	return chunks
}

type segmentCall struct {
	consentv1.PermissionService_CheckSegmentClient
}

func (p *process) openSegment(b *testing.B) segmentCall {
	b.Helper()
	stream, err := consentv1.NewPermissionServiceClient(p.connect()).CheckSegment(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	asked := &consentv1.Segment{Permission: permission, Form: consentv1.SegmentForm_SEGMENT_FORM_REASONS}
	if err := stream.Send(&consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Segment{Segment: asked}}); err != nil {
		b.Fatal(err)
	}
	return segmentCall{stream}
}

// ask has a chunk decided, and returns how long that took.
func (s segmentCall) ask(b *testing.B, chunk askedChunk) time.Duration {
	began := time.Now()
	if err := s.Send(chunk.message); err != nil {
		b.Fatal(err)
	}
	reply, err := s.Recv()
	if err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	for _, count := range reply.GetCounts() {
		if count.GetReason() == consentv1.Reason_REASON_CONSENT && count.GetCount() == chunk.allowed {
			return took
		}
	}
	b.Fatalf("%d subjects of a chunk are allowed; the counts are %v", chunk.allowed, reply.GetCounts())
	return 0
}
