package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy stands before the peers' port of a replica, which advertises the proxy's address instead of its own. Every connection begins in
// plain text with who calls whom (cluster/wirepreface.go), so the proxy knows which links a connection uses.
type Proxy struct {
	links    *Links
	target   string
	from, to string // who calls whom; empty where the preface says it
	listener net.Listener
	life     context.Context
	end      context.CancelFunc
	working  sync.WaitGroup
}

// pipe is a connection through a proxy.
type pipe struct {
	from, to string // who called whom
	close    func()
}

// prefaceWait is how long a caller may take to say who it is, and a replica to be connected to.
const prefaceWait = 5 * time.Second

// NewProxy listens on a free port of this machine for what goes to a target.
func NewProxy(ctx context.Context, links *Links, target string) (*Proxy, error) {
	return newProxy(ctx, &Proxy{links: links, target: target})
}

// NewProxyBetween is NewProxy for connections without a preface, all of one caller to one replica.
func NewProxyBetween(ctx context.Context, links *Links, from, to, target string) (*Proxy, error) {
	return newProxy(ctx, &Proxy{links: links, target: target, from: from, to: to})
}

func newProxy(ctx context.Context, p *Proxy) (*Proxy, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a proxy: %w", err)
	}
	p.listener = listener
	p.life, p.end = context.WithCancel(context.Background())
	p.working.Go(p.accept)
	return p, nil
}

// Address returns where the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Close ends the proxy and all connections through it.
func (p *Proxy) Close() error {
	p.end()
	err := p.listener.Close()
	p.working.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.working.Go(func() { p.serve(conn) })
	}
}

// serve carries a connection until either side ends it.
func (p *Proxy) serve(conn net.Conn) {
	ctx, cancel := context.WithCancel(p.life)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	preface, from, to, err := p.who(conn)
	if err != nil {
		return
	}
	dialer := net.Dialer{Timeout: prefaceWait}
	replica, err := dialer.DialContext(ctx, "tcp", p.target)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = replica.Close() })()
	through := &pipe{from: from, to: to, close: cancel}
	p.links.add(through)
	defer p.links.remove(through)

	var carrying sync.WaitGroup
	carrying.Go(func() {
		defer cancel()
		p.links.link(from, to).carry(ctx, replica, io.MultiReader(bytes.NewReader(preface), conn))
	})
	carrying.Go(func() {
		defer cancel()
		p.links.link(to, from).carry(ctx, conn, replica)
	})
	<-ctx.Done()
	_, _ = conn.Close(), replica.Close()
	carrying.Wait()
}

// who returns who calls whom, and what was read of the connection to find out.
func (p *Proxy) who(conn net.Conn) (preface []byte, from, to string, err error) {
	if p.from != "" {
		return nil, p.from, p.to, nil
	}
	return readPreface(conn)
}

func (l *Links) add(p *pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pipes[p] = struct{}{}
}

func (l *Links) remove(p *pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pipes, p)
}

// The head of a preface: magic, version and kind. Three texts with their lengths follow: cluster, caller, and called.
const (
	prefaceMagic = "cnsntd\x00p"
	prefaceHead  = len(prefaceMagic) + 2
)

var errPreface = errors.New("that is no preface of a replica")

// readPreface reads the preface of a connection, and not a byte more.
func readPreface(conn net.Conn) (preface []byte, from, to string, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(prefaceWait)); err != nil {
		return nil, "", "", err
	}
	var read bytes.Buffer
	in := io.TeeReader(conn, &read)
	head := make([]byte, prefaceHead)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, "", "", err
	}
	if !bytes.HasPrefix(head, []byte(prefaceMagic)) {
		return nil, "", "", errPreface
	}
	var names [3]string
	for i := range names {
		length := make([]byte, 1)
		if _, err := io.ReadFull(in, length); err != nil {
			return nil, "", "", err
		}
		name := make([]byte, length[0])
		if _, err := io.ReadFull(in, name); err != nil {
			return nil, "", "", err
		}
		names[i] = string(name)
	}
	return read.Bytes(), names[1], names[2], conn.SetReadDeadline(time.Time{})
}
