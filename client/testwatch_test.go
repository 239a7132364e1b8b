package client

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
)

// fakeReplica is a replica's WatchService whose streams the test holds in its hand.
type fakeReplica struct {
	consentv1.UnimplementedWatchServiceServer
	opened chan *script
	fill   func(context.Context, *consentv1.FillRequest) (*consentv1.FillResponse, error)
}

// script is one change stream, as the replica has it.
type script struct {
	t        *testing.T
	sequence uint64
	start    *consentv1.WatchStart
	pings    chan *consentv1.WatchPing
	out      chan *consentv1.WatchResponse
	over     chan error    // ends it
	gone     chan struct{} // closed when the reader is
}

// newFakeReplica serves a fakeReplica over a connection in memory until the test ends.
func newFakeReplica(t *testing.T) (*fakeReplica, *grpc.ClientConn) {
	t.Helper()
	f := &fakeReplica{opened: make(chan *script, 100)}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	consentv1.RegisterWatchServiceServer(server, f)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///fake", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return f, conn
}

func (f *fakeReplica) Watch(stream grpc.BidiStreamingServer[consentv1.WatchRequest, consentv1.WatchResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	s := &script{
		start: first.GetStart(), pings: make(chan *consentv1.WatchPing, 1000), out: make(chan *consentv1.WatchResponse, 1000),
		over: make(chan error, 1), gone: make(chan struct{}),
	}
	go func() {
		defer close(s.gone)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			s.pings <- m.GetPing()
		}
	}()
	f.opened <- s
	for {
		select {
		case m := <-s.out:
			if err := stream.Send(m); err != nil {
				return err
			}
		case err := <-s.over:
			return err
		case <-s.gone:
			return nil
		}
	}
}

func (f *fakeReplica) Fill(ctx context.Context, r *consentv1.FillRequest) (*consentv1.FillResponse, error) {
	return f.fill(ctx, r)
}

// next returns the next stream that the reader opens.
func (f *fakeReplica) next(t *testing.T) *script {
	t.Helper()
	s := within(t, "a stream to be opened", f.opened)
	s.t = t
	return s
}

// within returns what comes from a channel, and fails if nothing does for very long.
func within[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("waited for %s in vain", what)
		panic("not reached")
	}
}

// send sends messages in turn.
func (s *script) send(messages ...*consentv1.WatchResponse) {
	for _, m := range messages {
		s.sequence++
		m.Sequence = s.sequence
		s.out <- m
	}
}

// ping returns the next ping.
func (s *script) ping() *consentv1.WatchPing {
	s.t.Helper()
	return within(s.t, "a ping", s.pings)
}

// closed waits until the reader has left the stream.
func (s *script) closed() {
	s.t.Helper()
	within(s.t, "the reader to leave", s.gone)
}

func resetMessage(epoch, position uint64, tenants ...*consentv1.WatchTenant) *consentv1.WatchResponse {
	return &consentv1.WatchResponse{Message: &consentv1.WatchResponse_Reset_{Reset_: &consentv1.WatchReset{
		Epoch: epoch, Position: position, Reason: consentv1.WatchResetReason_WATCH_RESET_REASON_START, Tenants: tenants,
	}}}
}

// more makes a reset one of which more parts follow.
func more(m *consentv1.WatchResponse) *consentv1.WatchResponse {
	m.GetReset_().More = true
	return m
}

func changeMessage(position uint64, buckets []uint32, tenants ...*consentv1.WatchTenant) *consentv1.WatchResponse {
	return &consentv1.WatchResponse{Message: &consentv1.WatchResponse_Changes{Changes: &consentv1.WatchChanges{
		Position: position, Buckets: encodedBuckets(buckets), Tenants: tenants,
	}}}
}

func caughtUpMessage() *consentv1.WatchResponse {
	return &consentv1.WatchResponse{Message: &consentv1.WatchResponse_CaughtUp{CaughtUp: &consentv1.WatchCaughtUp{}}}
}

const testBound = 2 * time.Second

// pongMessage answers a ping with a proof; one of a negative age has none.
func pongMessage(ping *consentv1.WatchPing, position uint64, age time.Duration) *consentv1.WatchResponse {
	pong := &consentv1.WatchPong{Id: ping.GetId(), Position: position, Bound: durationpb.New(testBound)}
	if age >= 0 {
		pong.Age = durationpb.New(age)
	}
	return &consentv1.WatchResponse{Message: &consentv1.WatchResponse_Pong{Pong: pong}}
}

// encodedBuckets returns buckets, ascending, as the stream has them.
func encodedBuckets(buckets []uint32) []byte {
	var text []byte
	last := uint32(0)
	for _, b := range buckets {
		text = appendUvarint(text, uint64(b-last))
		last = b
	}
	return text
}

func appendUvarint(dst []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

const watchedPolicy = "purposes:\n  newsletter: {bases: [consent]}\n"

// watchedTenant is a tenant with a version of watchedPolicy; of none for 0.
func watchedTenant(name string, number uint32, version int64) *consentv1.WatchTenant {
	t := &consentv1.WatchTenant{Name: name, Number: number, PolicyVersion: version}
	if version > 0 {
		t.PolicyDocument = []byte(watchedPolicy)
		t.Permissions = []*consentv1.WatchPermission{{Name: "newsletter", Id: 1, PurposeId: 2}}
	}
	return t
}

// recorder is a cache that keeps nothing but what it was told.
type recorder struct {
	at      consent.Revision
	tenants map[string]*consent.Tenant
	floors  []uint32 // buckets raised since the reset
	asOf    time.Time
	bound   time.Duration
}

func (r *recorder) Reached() consent.Revision { return r.at }

func (r *recorder) Reset(at consent.Revision, tenants map[string]*consent.Tenant) {
	*r = recorder{at: at, tenants: tenants}
}

func (r *recorder) Advance(position uint64, buckets []uint32, tenants []*consent.Tenant) {
	r.at.Index = position
	r.floors = append(r.floors, slices.Clone(buckets)...)
	for _, t := range tenants {
		r.tenants[t.Name] = t
	}
}

func (r *recorder) Prove(asOf time.Time, bound time.Duration) { r.asOf, r.bound = asOf, bound }
