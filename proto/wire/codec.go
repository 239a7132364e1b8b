package wire

import (
	"google.golang.org/grpc/encoding"
	standard "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// message is a message of this package.
type message interface {
	most() int                        // bytes that it takes when it is written, at most, as a rule
	append(to []byte) ([]byte, error) // writes it
	read(from []byte) error           // reads it, in the place of what it was, and keeps nothing of the bytes
}

var (
	_ message = (*Question)(nil)
	_ message = (*Questions)(nil)
	_ message = (*Reply)(nil)
	_ message = (*Answers)(nil)
	_ message = (*BatchQuestions)(nil)
	_ message = (*BatchReply)(nil)
)

// Codec is the codec that gRPC has for protocol buffers, which knows the messages of this package as well.
type Codec struct{ encoding.CodecV2 }

// NewCodec returns a Codec.
func NewCodec() Codec { return Codec{encoding.GetCodecV2(standard.Name)} }

// Marshal writes a message. Its bytes are given back to a pool when gRPC has sent them.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(message)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	if batch, ok := v.(*BatchReply); ok && batch.Written != nil {
		defer batch.Written()
	}
	most := m.most()
	if mem.IsBelowBufferPoolingThreshold(most) {
		b, err := m.append(make([]byte, 0, most))
		return mem.BufferSlice{mem.SliceBuffer(b)}, err
	}
	pool := mem.DefaultBufferPool()
	room := pool.Get(most)
	b, err := m.append((*room)[:0])
	switch {
	case err != nil:
		pool.Put(room)
		return nil, err
	case cap(b) != cap(*room): // it took more
		pool.Put(room)
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	*room = b
	return mem.BufferSlice{mem.NewBuffer(room, pool)}, nil
}

// Unmarshal reads a message.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	return m.read(b.ReadOnlyData())
}
