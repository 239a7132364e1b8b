package server

import (
	"errors"
	"io"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
)

// chunkBytes of a backup are a message. Smaller ones cost more calls, larger ones stand before what else the connection carries.
const chunkBytes = 128 << 10

type (
	backUpStream  = grpc.ServerStreamingServer[consentv1.BackUpResponse]
	restoreStream = grpc.ClientStreamingServer[consentv1.RestoreRequest, consentv1.RestoreResponse]
)

// BackUp streams a copy of everything. The stream ends without an error only behind the last byte, so that a part never looks whole.
func (s *clusterService) BackUp(_ *consentv1.BackUpRequest, stream backUpStream) error {
	weight, err := s.gate.enterLarge(maxQuestions)
	if err != nil {
		return err
	}
	defer s.gate.leave(weight)
	w := &chunkWriter{stream: stream}
	if err := s.cluster.BackUp(stream.Context(), w); err != nil {
		return spoken(err)
	}
	return w.flush()
}

// chunkWriter sends what is written to it. It waits while the caller takes no more, until the call ends.
type chunkWriter struct {
	stream backUpStream
	chunk  []byte
}

func (w *chunkWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if w.chunk == nil {
			w.chunk = make([]byte, 0, chunkBytes) // a new one each time: the library may still be reading what it was given
		}
		part := min(len(p)-n, chunkBytes-len(w.chunk))
		w.chunk = append(w.chunk, p[n:n+part]...)
		n += part
		if len(w.chunk) == chunkBytes {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// flush sends what hasn't been sent yet.
func (w *chunkWriter) flush() error {
	if len(w.chunk) == 0 {
		return nil
	}
	message := &consentv1.BackUpResponse{Chunk: w.chunk}
	w.chunk = nil
	return w.stream.Send(message)
}

// Restore replaces everything by the backup that the messages hold. While it is sent, a server that stops ends the call, and nothing has
// changed; what is here whole is restored, and the server waits for it.
func (s *clusterService) Restore(stream restoreStream) error {
	weight, err := s.gate.enterLarge(maxQuestions)
	if err != nil {
		return err
	}
	defer s.gate.leave(weight)
	r := &chunkReader{core: s.core, stream: stream}
	first, err := r.receive()
	if errors.Is(err, io.EOF) {
		return invalid("chunk", "there is none: send the backup")
	}
	if err != nil {
		return err
	}
	r.rest = first.GetChunk()
	reply, err := s.cluster.Restore(stream.Context(), first.GetReplace(), r)
	switch {
	case err == nil:
		return stream.SendAndClose(reply)
	case r.err != nil: // then the file isn't to blame
		return r.err
	default:
		return spoken(err)
	}
}

// chunkReader reads what is sent. It ends only when the caller has said that it is all.
type chunkReader struct {
	*core
	stream restoreStream
	rest   []byte
	err    error // why nothing more comes, unless the caller said so
}

func (r *chunkReader) Read(p []byte) (n int, err error) {
	for len(r.rest) == 0 {
		message, err := r.receive()
		if err != nil {
			return 0, err
		}
		r.rest = message.GetChunk()
	}
	n = copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// receive returns the next message, or errDraining when the server is told to stop first: then the stream is about to end, which ends the
// call that is left waiting.
func (r *chunkReader) receive() (*consentv1.RestoreRequest, error) {
	if r.err != nil {
		return nil, r.err
	}
	var message *consentv1.RestoreRequest
	err := r.untilDrained(func() (err error) {
		message, err = r.stream.Recv()
		return err
	})
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	if err != nil {
		return nil, err
	}
	return message, nil
}
