package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// WireOptions say where replicas talk to each other, and how that is protected.
type WireOptions struct {
	// Listen is the host:port to listen on. Port 0 takes a free one.
	Listen string
	// Advertise is the host:port by which the others reach this replica: its address in the cluster's configuration. Where the listener
	// is bound to, unless set; so it has to be set if Listen names no host.
	Advertise string
	// TLS makes both sides of every connection prove who they are. Without it, everybody who can connect can read and replace everything.
	TLS *TLSFiles
	// AllowPlaintext allows to talk without TLS to others than loopback addresses.
	AllowPlaintext bool
	// Logger gets messages. None are written unless it is set.
	Logger *slog.Logger

	patience time.Duration    // with a connection that begins; tests have less of it
	now      func() time.Time // by which certificates are judged; tests have another
}

// TLSFiles name the PEM files of the peers' TLS.
type TLSFiles struct {
	Cert string // this replica's certificate, which names its node id, and those between it and the CA
	Key  string // its private key
	CA   string // the certificates of the peers' own CA
}

// How long a connection may take to begin, and how many may be about to.
const (
	handshakeTimeout = 5 * time.Second
	maxHandshakes    = 128
)

// peersSilence is how long the machine of a peer may leave unacknowledged what gRPC sends it. Raft's requests have deadlines of their own,
// and its snapshots may wait for a disk.
const peersSilence = 3 * time.Second

// TCP's own way to find out that the other machine is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}

// Wire is the port of the peers. It carries Raft and the peers' gRPC, each on connections of its own, told apart by the preface with which
// every connection begins: who calls whom, in which cluster, and for what. A stranger's connection ends there.
type Wire struct {
	options  WireOptions
	log      *slog.Logger
	warnings *warnings
	keys     *keyring // nil without TLS
	listener net.Listener
	address  string
	identity atomic.Pointer[identity]
	raft     *doorway
	peers    *doorway

	life    context.Context // done once closed
	end     context.CancelFunc
	working sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	open       map[net.Conn]*opened // every connection
	handshakes []net.Conn           // those that are about to begin, the oldest first
}

// opened is what is known of a connection.
type opened struct {
	kind  byte   // 0 before it is known
	trust *trust // nil before TLS is agreed on, and without
}

// identity is whom the others know this replica as.
type identity struct{ clusterID, nodeID string }

// OpenWire listens for other replicas. Their connections are refused until a node says who it is. Without TLS, an address that isn't a
// loopback one is ErrPlaintext unless AllowPlaintext is set.
func OpenWire(ctx context.Context, o WireOptions) (*Wire, error) {
	w := &Wire{options: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)).With("part", "wire"), open: map[net.Conn]*opened{}}
	setDefault(&w.options.patience, handshakeTimeout)
	if w.options.now == nil {
		w.options.now = time.Now
	}
	w.warnings = newWarnings(w.log)
	var err error
	if o.TLS != nil {
		if w.keys, err = openKeyring(*o.TLS, w.log, w.options.now); err != nil {
			return nil, err
		}
	}
	config := net.ListenConfig{KeepAliveConfig: keepAlive}
	if w.listener, err = config.Listen(ctx, "tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("listening for peers on %q: %w", o.Listen, err)
	}
	if w.address, err = w.reachableAt(); err != nil {
		return nil, errors.Join(err, w.listener.Close())
	}
	w.life, w.end = context.WithCancel(context.Background())
	w.raft, w.peers = newDoorway(w), newDoorway(w)
	w.working.Go(w.accept)
	if w.keys != nil {
		w.working.Go(w.reviewTrust)
	}
	return w, nil
}

// reachableAt returns the address to advertise, if it may be.
func (w *Wire) reachableAt() (string, error) {
	bound := w.listener.Addr().String()
	if !w.mayTalkTo(w.listener.Addr()) {
		return "", fmt.Errorf("listening for peers on %s: %w", bound, ErrPlaintext)
	}
	address := cmp.Or(w.options.Advertise, bound)
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || port == "0" {
		return "", fmt.Errorf("the address %q can't be advertised to peers: give host:port", address)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return "", fmt.Errorf("the address %q can't be advertised to peers, because it names no machine: give the one they reach this replica at",
			address)
	}
	return address, nil
}

// mayTalkTo reports whether an address may be talked to as the wire is protected.
func (w *Wire) mayTalkTo(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return w.keys != nil || w.options.AllowPlaintext || ok && tcp.IP.IsLoopback()
}

// Address returns the host:port by which others reach this replica.
func (w *Wire) Address() string { return w.address }

// belongTo says which node this is, and returns an error if the certificate isn't that node's.
func (w *Wire) belongTo(nodeID string) error {
	if w.keys == nil {
		return nil
	}
	return w.keys.belongTo(nodeID)
}

// identify says which node of which cluster this is. Connections are refused before. It is an error if the certificate isn't the node's.
func (w *Wire) identify(clusterID, nodeID string) error {
	if err := w.belongTo(nodeID); err != nil {
		return err
	}
	w.identity.Store(&identity{clusterID: clusterID, nodeID: nodeID})
	return nil
}

// PeerListener returns the listener whose connections carry the peers' gRPC.
func (w *Wire) PeerListener() net.Listener { return w.peers }

// Close ends every connection, and returns when nothing of the wire runs any more.
func (w *Wire) Close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	if !first {
		return nil
	}
	w.end()
	err := w.listener.Close()
	w.closeAll(func(*opened) bool { return true })
	w.working.Wait()
	return err
}

// track takes note of a connection, so that Close ends it. It returns false, and closes it, once the wire is closed.
func (w *Wire) track(conn net.Conn, kind byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		discard(conn.Close())
		return false
	}
	if known := w.open[conn]; known != nil {
		known.kind = kind
	} else {
		w.open[conn] = &opened{kind: kind}
	}
	return true
}

// drop ends a connection.
func (w *Wire) drop(conn net.Conn) error {
	w.mu.Lock()
	delete(w.open, conn)
	w.mu.Unlock()
	return conn.Close()
}

// discard takes the error of ending a connection that is of no use any more.
func discard(error) {}

// closeAll ends some of the connections.
func (w *Wire) closeAll(which func(*opened) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn, o := range w.open {
		if which(o) {
			discard(conn.Close())
			delete(w.open, conn)
		}
	}
}

// equip makes a connection that has begun fit for its kind.
func equip(raw net.Conn, kind byte) error {
	if tcp, ok := raw.(*net.TCPConn); ok && kind == kindPeers {
		if err := setUnacknowledgedLimit(tcp, peersSilence); err != nil {
			return err
		}
	}
	return raw.SetDeadline(time.Time{})
}

// wireConn is a connection that has begun.
type wireConn struct {
	net.Conn
	wire *Wire
	raw  net.Conn // without TLS
}

// Close ends the connection at once. TLS would first say goodbye, and wait for a peer that hangs.
func (c *wireConn) Close() error { return c.wire.drop(c.raw) }

// doorway hands out the accepted connections of one kind.
type doorway struct {
	wire    *Wire
	arrived chan net.Conn
	shut    chan struct{}
	once    sync.Once
}

func newDoorway(w *Wire) *doorway {
	return &doorway{wire: w, arrived: make(chan net.Conn), shut: make(chan struct{})}
}

// Accept implements net.Listener.
func (d *doorway) Accept() (net.Conn, error) {
	select {
	case conn := <-d.arrived:
		return conn, nil
	case <-d.shut:
	case <-d.wire.life.Done():
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener. Connections that were accepted go on.
func (d *doorway) Close() error {
	d.once.Do(func() { close(d.shut) })
	return nil
}

// Addr implements net.Listener. It is what the wire advertises.
func (d *doorway) Addr() net.Addr { return advertised(d.wire.address) }

// deliver waits until a connection is accepted, and returns whether it was.
func (d *doorway) deliver(conn net.Conn, patience time.Duration) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case d.arrived <- conn:
		return true
	case <-d.shut:
	case <-d.wire.life.Done():
	case <-late.C:
	}
	return false
}

// advertised is an address of a TCP port that may name a host.
type advertised string

// Network implements net.Addr.
func (advertised) Network() string { return "tcp" }

// String implements net.Addr.
func (a advertised) String() string { return string(a) }
