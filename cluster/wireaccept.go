package cluster

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"
)

const (
	acceptPause   = 50 * time.Millisecond // after an error, as when there are too many open files
	lingerTime    = time.Second           // for a refused one to read why
	lingerBytes   = 64 << 10
	refusedTalker = "a connection to the port of the peers was refused"
)

// errNotReady is told to replicas that call before this one knows its cluster.
var errNotReady = errors.New("this replica isn't ready: it doesn't belong to a cluster yet")

// accept takes connections until the wire is closed. It never waits for one of them.
func (w *Wire) accept() {
	for w.life.Err() == nil {
		conn, err := w.listener.Accept()
		if err != nil {
			w.pauseAfter(err)
			continue
		}
		if w.beginHandshake(conn) {
			w.working.Go(func() {
				defer w.endHandshake(conn)
				w.receive(conn)
			})
		}
	}
}

func (w *Wire) pauseAfter(err error) {
	if w.life.Err() != nil {
		return
	}
	w.warnings.warn(w.listener.Addr(), "accepting connections of peers fails", "error", err)
	select {
	case <-w.life.Done():
	case <-time.After(acceptPause):
	}
}

// beginHandshake makes room for one more connection to begin. If there are too many, the one that has taken longest is ended: a replica
// needs milliseconds, so whoever fills the room is someone else.
func (w *Wire) beginHandshake(conn net.Conn) bool {
	if !w.track(conn, 0) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.handshakes) >= maxHandshakes {
		discard(w.handshakes[0].Close())
		w.handshakes = w.handshakes[1:]
	}
	w.handshakes = append(w.handshakes, conn)
	return true
}

func (w *Wire) endHandshake(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := slices.Index(w.handshakes, conn); at >= 0 {
		w.handshakes = slices.Delete(w.handshakes, at, at+1)
	}
}

// receive finds out who calls, and hands the connection to whom it is for.
func (w *Wire) receive(raw net.Conn) {
	deadline := time.Now().Add(w.options.patience)
	err := raw.SetDeadline(deadline)
	conn := raw
	if err == nil {
		conn, err = w.secureAsCalled(raw)
	}
	var p preface
	if err == nil {
		p, err = readPreface(conn)
	}
	if err == nil {
		err = w.admit(p)
	}
	if err == nil {
		err = checkPeer(conn, p.from)
	}
	if err != nil {
		w.refuse(conn, raw, err)
		return
	}
	if err := w.welcome(conn, raw, p, time.Until(deadline)); err != nil {
		w.warnings.warn(raw.RemoteAddr(), "a connection of a peer ended before it began", "node", p.from, "reason", err)
		discard(w.drop(raw))
	}
}

// admit returns nil if a preface is for this replica, and otherwise the reason for the one who sent it.
func (w *Wire) admit(p preface) error {
	me := w.identity.Load()
	switch {
	case me == nil:
		return errNotReady
	case p.cluster != me.clusterID:
		return fmt.Errorf("node %s belongs to cluster %s, and this is a replica of cluster %s: check the addresses", p.from, p.cluster,
			me.clusterID)
	case p.to != me.nodeID:
		return fmt.Errorf("node %s wants node %s, and this is %s: check the addresses", p.from, p.to, me.nodeID)
	case p.from == me.nodeID:
		return fmt.Errorf("node %s has this replica's own id: give every replica its own", p.from)
	}
	return nil
}

// welcome answers a preface, and waits until the connection is accepted by whom it is for.
func (w *Wire) welcome(conn, raw net.Conn, p preface, patience time.Duration) error {
	if err := writeWelcome(conn); err != nil {
		return err
	}
	if err := equip(raw, p.kind); err != nil {
		return err
	}
	if !w.track(raw, p.kind) {
		return net.ErrClosed
	}
	door := w.peers
	if p.kind == kindRaft {
		door = w.raft
	}
	if !door.deliver(&wireConn{Conn: conn, wire: w, raw: raw}, patience) {
		return errors.New("this replica doesn't take such connections now")
	}
	return nil
}

// refuse tells a caller why it isn't welcome, and ends the connection.
func (w *Wire) refuse(conn, raw net.Conn, reason error) {
	defer func() { discard(w.drop(raw)) }()
	switch {
	case errors.Is(reason, io.EOF), w.life.Err() != nil: // a look whether the port is open
		return
	case errors.Is(reason, os.ErrDeadlineExceeded):
		reason = fmt.Errorf("the caller took longer than %s to say who it is", w.options.patience)
	case errors.Is(reason, net.ErrClosed):
		reason = errors.New("the caller took long to say who it is, and others came")
	case errors.Is(reason, errNotReady): // as it has to be while the cluster forms
		w.log.Debug(refusedTalker, "remote", raw.RemoteAddr().String(), "reason", reason)
	}
	if !errors.Is(reason, errNotReady) {
		w.warnings.warn(raw.RemoteAddr(), refusedTalker, "reason", reason)
	}
	if raw.SetDeadline(time.Now().Add(lingerTime)) != nil || writeRefusal(conn, reason.Error()) != nil {
		return
	}
	linger(conn)
}

// linger waits until the other side has read the last words. Closing a connection with something unread in it would take them back.
func linger(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	io.CopyN(io.Discard, conn, lingerBytes) //nolint:errcheck // an end of any kind is one
}
