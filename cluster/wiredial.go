package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// DialPeer connects to the gRPC of another replica. The one that answers is the node named, of the same cluster.
func (w *Wire) DialPeer(ctx context.Context, id, address string) (net.Conn, error) {
	return w.dial(ctx, kindPeers, id, address)
}

// dialWithin connects to a node within a time.
func (w *Wire) dialWithin(timeout time.Duration, kind byte, id, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return w.dial(ctx, kind, id, address)
}

// dial connects to a node. Nothing was asked of it if that fails.
func (w *Wire) dial(ctx context.Context, kind byte, id, address string) (net.Conn, error) {
	me := w.identity.Load()
	if me == nil {
		return nil, fmt.Errorf("connecting to node %s at %s: %w", id, address, errNotReady)
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	defer context.AfterFunc(w.life, cancel)()
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to node %s: %w", id, err)
	}
	if !w.track(raw, kind) {
		return nil, fmt.Errorf("connecting to node %s at %s: %w", id, address, net.ErrClosed)
	}
	conn, err := w.call(ctx, raw, preface{kind: kind, cluster: me.clusterID, from: me.nodeID, to: id})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to node %s at %s: %w", id, address, err), w.drop(raw))
	}
	return &wireConn{Conn: conn, wire: w, raw: raw}, nil
}

// call says who calls whom, and returns the connection once the other side has said welcome.
func (w *Wire) call(ctx context.Context, raw net.Conn, p preface) (net.Conn, error) {
	if !w.mayTalkTo(raw.RemoteAddr()) {
		return nil, ErrPlaintext
	}
	given := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // a closed one needs none
	conn := raw
	if _, err := conn.Write(p.append(nil)); err != nil {
		return nil, err
	}
	if err := readAnswer(conn); err != nil {
		return nil, err
	}
	if !given() {
		return nil, ctx.Err()
	}
	return conn, nil
}
