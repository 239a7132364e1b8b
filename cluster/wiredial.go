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
	ctx, cancel := context.WithTimeout(ctx, w.options.patience)
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
	if err == nil {
		err = equip(raw, kind)
	}
	if err != nil {
		discard(w.drop(raw))
		return nil, fmt.Errorf("connecting to node %s at %s: %w", id, address, err)
	}
	return &wireConn{Conn: conn, wire: w, raw: raw}, nil
}

// call says who calls whom, and returns the connection once the other side has said welcome.
func (w *Wire) call(ctx context.Context, raw net.Conn, p preface) (net.Conn, error) {
	if !w.mayTalkTo(raw.RemoteAddr()) {
		return nil, ErrPlaintext
	}
	stopped := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // a closed one needs none
	conn, err := w.secureAsCaller(ctx, raw, p.to)
	if err == nil {
		_, err = conn.Write(p.bytes())
	}
	if err == nil {
		err = readAnswer(conn)
	}
	if !stopped() {
		return nil, fmt.Errorf("it didn't answer in time: %w", ctx.Err())
	}
	return conn, withAdvice(err)
}

// withAdvice says what a refusal in TLS's own words is about: in TLS 1.3 the one who called hears of it after its handshake.
func withAdvice(err error) error {
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" {
		return fmt.Errorf("it doesn't take this replica's certificate, and its log says why: %w", err)
	}
	return err
}
