package cluster

import (
	"context"
	"crypto/x509"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// setClock is a clock that only a test moves on.
type setClock struct{ passed atomic.Int64 }

func (c *setClock) now() time.Time          { return time.Now().Add(time.Duration(c.passed.Load())) }
func (c *setClock) moveOn(by time.Duration) { c.passed.Add(int64(by)) }
func lives(d time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotAfter = time.Now().Add(d) }
}

// trusting is two wires with TLS and a connection of each kind between them.
type trusting struct {
	clock        setClock
	a, b         *Wire
	filesA       *TLSFiles
	filesB       *TLSFiles
	bookA        *logBook
	peers, rafts net.Conn
}

func newTrusting(t *testing.T, ca *authority, lifeA, lifeB time.Duration) *trusting {
	t.Helper()
	p := &trusting{filesA: ca.issue(t, "a", lives(lifeA)), filesB: ca.issue(t, "b", lives(lifeB)), bookA: &logBook{}}
	p.a = openWireAs(t, "a", WireOptions{TLS: p.filesA, Logger: p.bookA.logger(), now: p.clock.now})
	p.b = openWireAs(t, "b", WireOptions{TLS: p.filesB, now: p.clock.now})
	echo(t, p.b.PeerListener())
	echo(t, p.b.streamLayer())
	t.Cleanup(func() { p.b.Close() })
	p.peers, p.rafts = p.connect(t, p.a.DialPeer), p.connect(t, p.a.dialRaft)
	return p
}

// connect returns a connection from a to b, over which something was said.
func (p *trusting) connect(t *testing.T, dial func(context.Context, string, string) (net.Conn, error)) net.Conn {
	t.Helper()
	conn, err := dial(t.Context(), "b", p.b.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := say(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// wantAlive makes sure of what a review by one of the two leaves of the connections.
func (p *trusting) wantAlive(t *testing.T, by *Wire, alive bool) {
	t.Helper()
	by.review()
	for kind, conn := range map[string]net.Conn{"gRPC": p.peers, "Raft": p.rafts} {
		if err := say(conn, "still there"); (err == nil) != alive {
			t.Errorf("%s: %v, want a connection that goes on: %t", kind, err, alive)
		}
	}
}

// TestConnectionsEndWithCertificates has connections of both kinds outlive a certificate, on either side and told by either side.
func TestConnectionsEndWithCertificates(t *testing.T) {
	short, long := 20*time.Minute, 50*time.Minute
	tests := []struct {
		name         string
		lifeA, lifeB time.Duration
		by           func(*trusting) *Wire
	}{
		{"the caller's, at the caller", short, long, func(p *trusting) *Wire { return p.a }},
		{"the caller's, at the one called", short, long, func(p *trusting) *Wire { return p.b }},
		{"that of the one called, there", long, short, func(p *trusting) *Wire { return p.b }},
		{"that of the one called, at the caller", long, short, func(p *trusting) *Wire { return p.a }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newTrusting(t, newAuthority(t), tt.lifeA, tt.lifeB)
			p.clock.moveOn(short - time.Minute)
			p.wantAlive(t, tt.by(p), true)
			p.clock.moveOn(2 * time.Minute)
			p.wantAlive(t, tt.by(p), false)
			if conn, err := p.a.DialPeer(t.Context(), "b", p.b.Address()); err == nil {
				conn.Close()
				t.Error("a connection begins on a certificate that has expired")
			}
		})
	}
}

// TestRotation exchanges certificates, and then the CA in the two steps that the manual names, without a restart.
func TestRotation(t *testing.T) {
	ca, next := newAuthority(t), newAuthority(t)
	p := newTrusting(t, ca, 20*time.Minute, 20*time.Minute)
	both := func(do func(files *TLSFiles, id string)) {
		do(p.filesA, "a")
		do(p.filesB, "b")
		p.a.review()
		p.b.review()
	}
	both(func(files *TLSFiles, id string) { ca.issueInto(t, files, id, lives(50*time.Minute)) })
	p.wantAlive(t, p.a, true) // by its old certificate
	p.clock.moveOn(30 * time.Minute)
	p.wantAlive(t, p.a, false)
	p.peers, p.rafts = p.connect(t, p.a.DialPeer), p.connect(t, p.a.dialRaft)

	both(func(files *TLSFiles, _ string) { trustBoth(t, files, ca, next) })
	p.wantAlive(t, p.a, true)
	both(func(files *TLSFiles, id string) {
		next.issueInto(t, files, id)
		trustBoth(t, files, ca, next)
	})
	p.wantAlive(t, p.a, true)
	both(func(files *TLSFiles, _ string) { writePEM(t, files.CA, "CERTIFICATE", next.certificate.Raw) })
	p.wantAlive(t, p.a, false) // what was begun on the CA that is gone
	p.peers, p.rafts = p.connect(t, p.a.DialPeer), p.connect(t, p.a.dialRaft)
	p.wantAlive(t, p.b, true)
}

// trustBoth writes a CA file with two CAs.
func trustBoth(t *testing.T, files *TLSFiles, cas ...*authority) {
	t.Helper()
	var pem []byte
	for _, ca := range cas {
		writePEM(t, files.CA, "CERTIFICATE", ca.certificate.Raw)
		one, err := os.ReadFile(files.CA)
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, one...)
	}
	if err := os.WriteFile(files.CA, pem, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWarnsOfExpiry has a certificate come due, expire, and be exchanged.
func TestWarnsOfExpiry(t *testing.T) {
	ca := newAuthority(t, lives(24*time.Hour))
	p := newTrusting(t, ca, 40*time.Minute, 50*time.Minute) // of 100 minutes: told of in the last third
	count := func(level string) int { return len(p.bookA.lines(level)) }
	told := func(when string, warnings, complaints int) {
		t.Helper()
		p.a.review()
		p.a.review()
		if w, e := count("expires soon"), count("level=ERROR"); w != warnings || e != complaints {
			t.Errorf("%s: %d warnings and %d errors, want %d and %d", when, w, e, warnings, complaints)
		}
	}
	told("before it is due", 0, 0)
	p.clock.moveOn(10 * time.Minute)
	told("due", 1, 0)
	p.clock.moveOn(31 * time.Minute)
	told("expired", 1, 1)
	ca.issueInto(t, p.filesA, "a", lives(23*time.Hour))
	told("exchanged", 1, 1)
	if got := p.a.CertificateExpires(); time.Until(got) < 22*time.Hour {
		t.Errorf("it expires %s", got)
	}
}

// A certificate is of no use once its CA has expired.
func TestExpiryIsThatOfTheWholeChain(t *testing.T) {
	w := openWireAs(t, "a", WireOptions{TLS: newAuthority(t).issue(t, "a", lives(30*24*time.Hour))})
	if left := time.Until(w.CertificateExpires()); left < 50*time.Minute || left > time.Hour {
		t.Errorf("it expires in %s, want the hour of its CA", left)
	}
}
