package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// memoryCluster fulfils Cluster and Discovery. What it is told is in calls.
type memoryCluster struct {
	*memoryBackend
	calls    []string
	backup   []byte
	backUp   func(ctx context.Context, w io.Writer) error // instead of writing backup
	join     func(ctx context.Context) error              // before joining
	restored atomic.Pointer[[]byte]
	restore  func() // before what was read is restored
}

func (m *memoryCluster) called(call string, details ...any) error {
	if err := m.failing(call); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, strings.TrimSpace(fmt.Sprintln(append([]any{call}, details...)...)))
	return nil
}

func (m *memoryCluster) Status(context.Context) (*consentv1.GetClusterStatusResponse, error) {
	return &consentv1.GetClusterStatusResponse{ClusterId: "one"}, m.called("Status")
}

func (m *memoryCluster) Join(ctx context.Context, addresses []string) (string, error) {
	if m.join != nil {
		if err := m.join(ctx); err != nil {
			return "", err
		}
	}
	return "one", m.called("Join", addresses)
}

func (m *memoryCluster) RemoveMember(_ context.Context, id string) error {
	return m.called("RemoveMember", id)
}
func (m *memoryCluster) PromoteMember(_ context.Context, id string) error {
	return m.called("PromoteMember", id)
}
func (m *memoryCluster) DemoteMember(_ context.Context, id string) error {
	return m.called("DemoteMember", id)
}

func (m *memoryCluster) TransferLeadership(_ context.Context, id string) (string, error) {
	return "c", m.called("TransferLeadership", id)
}

func (m *memoryCluster) TakeSnapshot(context.Context) (uint64, error) {
	return 42, m.called("TakeSnapshot")
}

func (m *memoryCluster) BackUp(ctx context.Context, w io.Writer) error {
	if err := m.called("BackUp"); err != nil {
		return err
	}
	if m.backUp != nil {
		return m.backUp(ctx, w)
	}
	_, err := w.Write(m.backup)
	return err
}

func (m *memoryCluster) Restore(_ context.Context, replace bool, r io.Reader) (*consentv1.RestoreResponse, error) {
	file, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%w: it ends too early", consent.ErrBackup) // as a backend might, though it is the reader's fault
	}
	if err := m.called("Restore", replace); err != nil {
		return nil, err
	}
	if m.restore != nil {
		m.restore()
	}
	m.restored.Store(&file)
	return &consentv1.RestoreResponse{Subjects: uint64(len(file))}, nil
}

func (m *memoryCluster) Introduce(context.Context) (*peerv1.IntroduceResponse, error) {
	return &peerv1.IntroduceResponse{NodeId: "b", State: peerv1.NodeState_NODE_STATE_NEW}, m.called("Introduce")
}

func (m *memoryCluster) Promise(_ context.Context, p *peerv1.PromiseRequest) error {
	return m.called("Promise", p.GetFounderId(), p.GetClusterId())
}

func (m *memoryCluster) Enrol(_ context.Context, e *peerv1.EnrolRequest) (*peerv1.EnrolResponse, error) {
	return &peerv1.EnrolResponse{ClusterId: "one"}, m.called("Enrol", e.GetNodeId(), e.GetAddress())
}

// backedUp returns what a backup streams.
func backedUp(ctx context.Context, r *rig) ([]byte, error) {
	stream, err := r.cluster.BackUp(ctx, &consentv1.BackUpRequest{})
	if err != nil {
		return nil, err
	}
	var file []byte
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return file, nil
		}
		if err != nil {
			return file, err
		}
		if n := len(message.GetChunk()); n == 0 || n > 256<<10 {
			return file, fmt.Errorf("a chunk of %d bytes", n)
		}
		file = append(file, message.GetChunk()...)
	}
}

// restored sends files one after the other as one backup.
func restored(ctx context.Context, r *rig, replace bool, chunks ...string) (*consentv1.RestoreResponse, error) {
	stream, err := r.cluster.Restore(ctx)
	if err != nil {
		return nil, err
	}
	for i, chunk := range chunks {
		if err := stream.Send(&consentv1.RestoreRequest{Replace: replace && i == 0, Chunk: []byte(chunk)}); err != nil {
			break // CloseAndRecv says why
		}
	}
	return stream.CloseAndRecv()
}

func TestClusterCallsReachTheBackend(t *testing.T) {
	r := newRig(t)
	for _, call := range everyClusterCall(r, "b", "localhost:7433", "file") {
		if err := call(background(t)); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"BackUp", "DemoteMember b", "Enrol b localhost:7433", "Introduce", "Join [localhost:7433]", "Promise b b", "PromoteMember b",
		"RemoveMember b", "Restore true", "Status", "TakeSnapshot", "TransferLeadership b",
	}
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	slices.Sort(r.replica.calls)
	if !slices.Equal(r.replica.calls, want) {
		t.Errorf("calls %q", r.replica.calls)
	}
}

func TestClusterCallsRefuse(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		call, field         string
		name, address, file string
	}{
		{"JoinCluster", "peers[0]", "b", "localhost", "f"},
		{"JoinCluster", "peers[0]", "b", "unix://relative", "f"},
		{"JoinCluster", "peers[0]", "b", ":7433", "f"},
		{"RemoveMember", "id", "", "", ""},
		{"PromoteMember", "id", strings.Repeat("b", 256), "", ""},
		{"DemoteMember", "id", "b\n", "", ""},
		{"TransferLeadership", "id", "b\x00", "", ""},
		{"Promise", "founder_id", "", "", "f"},
		{"Promise", "key_check", "b", "", ""},
		{"Enrol", "node_id", "", "localhost:1", "f"},
		{"Enrol", "address", "b", "localhost", "f"},
		{"Enrol", "key_check", "b", "localhost:1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.call+"/"+tt.field, func(t *testing.T) {
			wantViolation(t, everyClusterCall(r, tt.name, tt.address, tt.file)[tt.call](background(t)), tt.field)
		})
	}
	_, err := r.cluster.JoinCluster(background(t), &consentv1.JoinClusterRequest{})
	wantViolation(t, err, "peers")
	_, err = restored(background(t), r, false)
	wantViolation(t, err, "chunk")
	if len(r.replica.calls) != 0 {
		t.Errorf("the backend was asked: %q", r.replica.calls)
	}
}

// TestClusterErrorsSpeak: what is wrong with a cluster is told in the backend's words, for no subject is in them.
func TestClusterErrorsSpeak(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{fmt.Errorf("%w: b is the last voter", consent.ErrMembership), codes.FailedPrecondition, "MEMBERSHIP"},
		{fmt.Errorf("%w: b", consent.ErrUnknownMember), codes.NotFound, "UNKNOWN_MEMBER"},
		{fmt.Errorf("%w: block 7 is damaged", consent.ErrBackup), codes.FailedPrecondition, "BACKUP_UNUSABLE"},
		{fmt.Errorf("%w (a said so)", consent.ErrNoLeader), codes.Unavailable, "NO_LEADER"},
		{fmt.Errorf("%w (b)", consent.ErrUnreached), codes.Unavailable, "NO_LEADER"},
		{consent.ErrOverloaded, codes.ResourceExhausted, "OVERLOADED"},
	}
	for _, tt := range tests {
		r.memory.failWith(func(string) error { return tt.err })
		for name, call := range everyClusterCall(r, "b", "localhost:1", "file") {
			if s := wantError(t, call(background(t)), tt.code, tt.reason); s.Message() != tt.err.Error() {
				t.Errorf("%s says %q, want %q", name, s.Message(), tt.err)
			}
		}
	}
	r.memory.failWith(func(string) error { return errors.New("the rot of anna") })
	_, err := r.cluster.GetClusterStatus(background(t), &consentv1.GetClusterStatusRequest{})
	if s := wantError(t, err, codes.Internal, "INTERNAL"); strings.Contains(s.Message(), "rot") {
		t.Errorf("what nobody foresaw is told: %s", s.Message())
	}
}

func TestStaleSaysWhatIsReached(t *testing.T) {
	r := newRig(t)
	reached := consent.Revision{Epoch: memoryEpoch, Index: 3}
	r.memory.failWith(func(string) error { return fmt.Errorf("%w (too slow)", &consent.StaleError{Reached: reached}) })
	_, err := r.permissions.Check(background(t), &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}})
	s := wantError(t, err, codes.Unavailable, "STALE")
	info, ok := s.Details()[0].(*errdetails.ErrorInfo)
	if !ok || info.GetMetadata()["reached"] != reached.String() || !strings.Contains(s.Message(), reached.String()) {
		t.Errorf("status %v", s.Proto())
	}
}

// TestDiscoveryIsAnsweredBeforeReady, and so is the status.
func TestDiscoveryIsAnsweredBeforeReady(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Ready = func() error { return consent.ErrNotReady } })
	for _, name := range []string{"Introduce", "Promise", "Enrol", "GetClusterStatus", "JoinCluster"} {
		if err := everyClusterCall(r, "b", "localhost:1", "check")[name](background(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatusIsToldWhenAllIsTaken(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxInFlight = 4 })
	r.server.core.gate.running.Add(4)
	if err := everyClusterCall(r, "", "", "")["GetClusterStatus"](background(t)); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"BackUp", "Restore", "RemoveMember"} {
		wantError(t, everyClusterCall(r, "b", "", "file")[name](background(t)), codes.ResourceExhausted, "OVERLOADED")
	}
	r.server.core.gate.running.Add(-4)
}

// TestBackUpsComeBackAsTheyWent in chunks, written in pieces of any size.
func TestBackUpsComeBackAsTheyWent(t *testing.T) {
	r := newRig(t)
	file := bytes.Repeat([]byte("0123456789"), 100_000)
	r.replica.backUp = func(_ context.Context, w io.Writer) error {
		for size, rest := 1, file; len(rest) > 0; size *= 3 {
			n, err := w.Write(rest[:min(size, len(rest))])
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}
	got := must[[]byte](t)(backedUp(background(t), r))
	if !bytes.Equal(got, file) {
		t.Fatalf("%d bytes of %d", len(got), len(file))
	}
	reply := must[*consentv1.RestoreResponse](t)(restored(background(t), r, false, string(got[:7]), "", string(got[7:])))
	if !bytes.Equal(*r.replica.restored.Load(), file) || reply.GetSubjects() != uint64(len(file)) {
		t.Errorf("%d bytes were restored", len(*r.replica.restored.Load()))
	}
	waitFor(t, "all places to be free", func() bool { return r.server.core.gate.running.Load() == 0 })
}

// TestAnInterruptedBackUpIsAnError, however it is interrupted: never a short file that looks whole.
func TestAnInterruptedBackUpIsAnError(t *testing.T) {
	r := newRig(t)
	block := make([]byte, chunkBytes)
	endless := func(ctx context.Context, w io.Writer) error {
		for {
			if _, err := w.Write(block); err != nil {
				return fmt.Errorf("writing: %w", err)
			}
		}
	}
	t.Run("the disk fails", func(t *testing.T) {
		r.replica.backUp = func(_ context.Context, w io.Writer) error {
			_, err := w.Write(block)
			return errors.Join(err, errors.New("damaged"))
		}
		_, err := backedUp(background(t), r)
		wantError(t, err, codes.Internal, "INTERNAL")
	})
	t.Run("the caller goes", func(t *testing.T) {
		ended := make(chan error, 1)
		r.replica.backUp = func(ctx context.Context, w io.Writer) error {
			err := endless(ctx, w)
			ended <- err
			return err
		}
		ctx, cancel := context.WithCancel(background(t))
		stream := must[consentv1.ClusterService_BackUpClient](t)(r.cluster.BackUp(ctx, &consentv1.BackUpRequest{}))
		must[*consentv1.BackUpResponse](t)(stream.Recv())
		cancel()
		if err := <-ended; err == nil {
			t.Error("the backup goes on for nobody")
		}
	})
	t.Run("the server stops", func(t *testing.T) {
		r.replica.backUp = endless
		stream := must[consentv1.ClusterService_BackUpClient](t)(r.cluster.BackUp(background(t), &consentv1.BackUpRequest{}))
		must[*consentv1.BackUpResponse](t)(stream.Recv())
		r.server.core.endStreams()
		var err error
		for err == nil {
			_, err = stream.Recv()
		}
		wantError(t, err, codes.Unavailable, "NOT_READY")
	})
}

// TestDrainCutsARestoreThatIsSent, but finishes one that is here whole.
func TestDrainCutsARestoreThatIsSent(t *testing.T) {
	r := newRig(t)
	stream := must[consentv1.ClusterService_RestoreClient](t)(r.cluster.Restore(background(t)))
	if err := stream.Send(&consentv1.RestoreRequest{Chunk: []byte("half")}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the restore to begin", func() bool { return r.server.core.gate.running.Load() > 0 })
	r.server.core.endStreams()
	_, err := stream.CloseAndRecv()
	wantError(t, err, codes.Unavailable, "NOT_READY")
	if r.replica.restored.Load() != nil {
		t.Error("half a backup was restored")
	}
}

func TestDrainFinishesARestore(t *testing.T) {
	r := newRig(t)
	begun, release := make(chan struct{}), make(chan struct{})
	r.replica.restore = func() {
		close(begun)
		<-release
	}
	done := make(chan error, 1)
	go func() {
		_, err := restored(background(t), r, true, "a whole backup")
		done <- err
	}()
	<-begun
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		drained <- r.server.Drain(ctx)
	}()
	<-r.server.core.draining
	close(release)
	if err := errors.Join(<-done, <-drained); err != nil {
		t.Error(err)
	}
	if file := r.replica.restored.Load(); file == nil || string(*file) != "a whole backup" {
		t.Error("it wasn't restored")
	}
}

// TestDrainEndsAJoin that waits for a cluster to be found.
func TestDrainEndsAJoin(t *testing.T) {
	r := newRig(t)
	begun := make(chan struct{})
	r.replica.join = func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}
	done := make(chan error, 1)
	go func() { done <- everyClusterCall(r, "", "localhost:1", "")["JoinCluster"](background(t)) }()
	<-begun
	r.server.core.endStreams()
	wantError(t, <-done, codes.Unavailable, "NOT_READY")
}

// TestARestoreFailsWithItsReader: what the caller did isn't the file's fault.
func TestARestoreFailsWithItsReader(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(background(t))
	stream := must[consentv1.ClusterService_RestoreClient](t)(r.cluster.Restore(ctx))
	if err := stream.Send(&consentv1.RestoreRequest{Chunk: []byte("half")}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the restore to begin", func() bool { return r.server.core.gate.running.Load() > 0 })
	cancel()
	if err := stream.RecvMsg(new(consentv1.RestoreResponse)); status.Code(err) != codes.Canceled {
		t.Errorf("error %v", err)
	}
	waitFor(t, "the restore to end", func() bool { return r.server.core.gate.running.Load() == 0 })
	if r.replica.restored.Load() != nil {
		t.Error("half a backup was restored")
	}
}

// TestDiscoveryFindsAReplica at an address of the API, on TCP and on a unix socket.
func TestDiscoveryFindsAReplica(t *testing.T) {
	r := newRig(t)
	tcp := must[net.Listener](t)(Listen(background(t), "127.0.0.1:0", ListenOptions{}))
	socket := "unix://" + filepath.Join(t.TempDir(), "s")
	unix := must[net.Listener](t)(Listen(background(t), socket, ListenOptions{}))
	addresses := []string{tcp.Addr().String(), socket}
	served := make(chan error, 1)
	server := must[*Server](t)(New(Options{State: r.memory, Discovery: r.replica}))
	go func() { served <- server.Serve(tcp, unix) }()
	peers := NewPeers(nil)
	for _, address := range addresses {
		if reply := must[*peerv1.IntroduceResponse](t)(peers.Introduce(background(t), address)); reply.GetNodeId() != "b" {
			t.Errorf("%s introduces %v", address, reply)
		}
		if err := peers.Promise(background(t), address, &peerv1.PromiseRequest{FounderId: "a", ClusterId: "one", KeyCheck: []byte{1}}); err != nil {
			t.Error(err)
		}
		reply := must[*peerv1.EnrolResponse](t)(peers.Enrol(background(t), address, &peerv1.EnrolRequest{
			NodeId: "a", Address: "localhost:1", KeyCheck: []byte{1},
		}))
		if reply.GetClusterId() != "one" {
			t.Errorf("enrolled in %v", reply)
		}
	}
	r.memory.failWith(func(string) error { return fmt.Errorf("%w: it is bound to c", consent.ErrMembership) })
	err := peers.Promise(background(t), addresses[0], &peerv1.PromiseRequest{FounderId: "a", ClusterId: "one", KeyCheck: []byte{1}})
	if !errors.Is(err, consent.ErrMembership) || !strings.Contains(err.Error(), "it is bound to c") {
		t.Errorf("error %v", err)
	}
	if err := errors.Join(server.Drain(background(t)), <-served, peers.Close()); err != nil {
		t.Error(err)
	}
	if _, err := peers.Introduce(background(t), addresses[0]); err == nil || !strings.Contains(err.Error(), addresses[0]) {
		t.Errorf("nobody is there, but the error is %v", err)
	}
}
