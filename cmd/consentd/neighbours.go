package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/server"
)

// peersStopTimeout is how long calls of other replicas may go on at the end.
const peersStopTimeout = 5 * time.Second

// neighbours is the way to other replicas and from them. A replica that is alone has none: nil.
type neighbours struct {
	wire   *cluster.Wire
	peers  *server.Peers
	server *server.PeerServer // nil until others are answered
}

// openNeighbours listens for other replicas, which are told to wait until there is a node.
func openNeighbours(ctx context.Context, p *peersConfig, log *slog.Logger) (*neighbours, error) {
	if p.alone() {
		return nil, nil //nolint:nilnil // alone, as the type says
	}
	o := cluster.WireOptions{Listen: p.listen, Advertise: p.advertise, AllowPlaintext: p.plaintext, Logger: log}
	if p.tls.Cert != "" {
		o.TLS = &p.tls
	}
	wire, err := cluster.OpenWire(ctx, o)
	if errors.Is(err, cluster.ErrPlaintext) {
		return nil, usageErrorf("--raft-listen %s can be reached from other machines: whoever reaches it can read and replace every record.\n"+
			"Give --peer-tls-cert, --peer-tls-key and --peer-tls-ca, listen on 127.0.0.1 or [::1], or say --%s", p.listen, peersDangerFlag)
	}
	if err != nil {
		return nil, err
	}
	return &neighbours{wire: wire, peers: server.NewPeers(wire.DialPeer)}, nil
}

// answer lets other replicas ask the node.
func (n *neighbours) answer(node *cluster.Node, log *slog.Logger, metrics prometheus.Registerer, served chan<- error) (err error) {
	if n == nil {
		return nil
	}
	if n.server, err = server.NewPeerServer(server.PeerServerOptions{Backend: node, Logger: log, Registerer: metrics}); err != nil {
		return err
	}
	go func() { served <- n.server.Serve(n.wire.PeerListener()) }()
	return nil
}

// stop ends answering other replicas. Calls that take too long are cut off, and repeated by them elsewhere.
func (n *neighbours) stop() error {
	if n == nil || n.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), peersStopTimeout)
	defer cancel()
	if err := n.server.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// close ends every connection to other replicas.
func (n *neighbours) close() error {
	if n == nil {
		return nil
	}
	return errors.Join(n.peers.Close(), n.wire.Close())
}
