package cluster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// echo answers whatever comes to a listener with the same, until it is closed.
func echo(t *testing.T, l net.Listener) {
	t.Helper()
	var working sync.WaitGroup
	working.Go(func() { serveEcho(l) })
	t.Cleanup(working.Wait)
}

// serveEcho returns when the listener and all connections are closed.
func serveEcho(l net.Listener) {
	var working sync.WaitGroup
	defer working.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		working.Go(func() {
			defer conn.Close()
			io.Copy(conn, conn)
		})
	}
}

// say sends a message and returns an error unless it comes back.
func say(conn net.Conn, message string) error {
	if _, err := io.WriteString(conn, message); err != nil {
		return err
	}
	answer := make([]byte, len(message))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != message {
		return fmt.Errorf("got %q back, want %q", answer, message)
	}
	return nil
}

// eitherWay returns the options of nodes without TLS, and with it.
func eitherWay(t *testing.T) map[string]func(nodeID string) WireOptions {
	t.Helper()
	ca := newAuthority(t)
	return map[string]func(string) WireOptions{
		"plaintext": func(string) WireOptions { return WireOptions{} },
		"TLS":       func(nodeID string) WireOptions { return WireOptions{TLS: ca.issue(t, nodeID)} },
	}
}

// TestWire has two wires carry both kinds of connections at once, both ways.
func TestWire(t *testing.T) {
	for way, options := range eitherWay(t) {
		t.Run(way, func(t *testing.T) {
			a, b := openWireAs(t, "a", options("a")), openWireAs(t, "b", options("b"))
			for _, w := range []*Wire{a, b} {
				echo(t, w.PeerListener())
				echo(t, w.streamLayer())
				t.Cleanup(func() { w.Close() })
			}
			var working sync.WaitGroup
			for i := range 10 {
				working.Go(func() { talk(t, fmt.Sprintf("gRPC %d", i), "b", b.Address(), a.DialPeer) })
				working.Go(func() { talk(t, fmt.Sprintf("gRPC back %d", i), "a", a.Address(), b.DialPeer) })
				working.Go(func() { talk(t, fmt.Sprintf("Raft %d", i), "b", b.Address(), a.dialRaft) })
			}
			working.Wait()
		})
	}
}

func (w *Wire) dialRaft(_ context.Context, id, address string) (net.Conn, error) {
	return w.streamLayer().Dial(raft.ServerAddress(id+"@"+address), handshakeTimeout)
}

// talk dials a node whose connections echo.
func talk(t *testing.T, message, id, address string, dial func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	conn, err := dial(t.Context(), id, address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for range 20 {
		if err := say(conn, message); err != nil {
			t.Error(err)
		}
	}
}

// TestWireRefuses has connections refused that aren't for this replica. Both sides say why.
func TestWireRefuses(t *testing.T) {
	ca, otherCA := newAuthority(t), newAuthority(t)
	secured := func(nodeID string, edits ...func(*x509.Certificate)) WireOptions {
		return WireOptions{TLS: ca.issue(t, nodeID, edits...)}
	}
	tests := []struct {
		name           string
		caller, called WireOptions // of nodes a and b
		cluster, wants string      // whom the caller thinks it calls; the test's cluster and b unless set
		told, warned   string      // parts of the caller's error, and of the warning of the one called
	}{
		{name: "another cluster", cluster: "other", told: "belongs to cluster other", warned: "belongs to cluster other"},
		{name: "another node", wants: "c", told: "wants node c, and this is b", warned: "wants node c, and this is b"},
		{name: "another node under TLS", caller: secured("a"), called: secured("b"), wants: "c", told: `names ["b"] and not node c`},
		{name: "a caller of another name", caller: secured("x"), called: secured("b"), told: "and not node a", warned: "and not node a"},
		{name: "a pattern for a name", caller: secured("*"), called: secured("b"), told: "and not node a", warned: "and not node a"},
		{name: "one of another name called", caller: secured("a"), called: secured("x"), told: "and not node b"},
		{
			name: "a caller of another CA", caller: WireOptions{TLS: &TLSFiles{
				Cert: otherCA.issue(t, "a").Cert, Key: "", CA: ca.issue(t, "a").CA,
			}}, called: secured("b"), told: "its log says why", warned: "unknown authority",
		},
		{name: "one of another CA called", caller: WireOptions{TLS: otherCA.issue(t, "a")}, called: secured("b"), told: "unknown authority",
			warned: "bad certificate"},
		{name: "an expired caller", caller: secured("a", expired), called: secured("b"), told: "its log says why", warned: "expired"},
		{name: "an expired one called", caller: secured("a"), called: secured("b", expired), told: "expired", warned: "bad certificate"},
		{name: "plaintext to TLS", called: secured("b"), told: "the caller speaks no TLS", warned: "the caller speaks no TLS"},
		{name: "TLS to plaintext", caller: secured("a"), told: "doesn't answer in TLS", warned: "the caller speaks TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if files := tt.caller.TLS; files != nil && files.Key == "" {
				files.Key = strings.TrimSuffix(files.Cert, "crt") + "key"
			}
			book := &logBook{}
			tt.called.Logger = book.logger()
			a, b := openWire(t, tt.caller), openWire(t, tt.called)
			a.identity.Store(&identity{cmp.Or(tt.cluster, wiredCluster), "a"}) // without a look at its certificate
			b.identity.Store(&identity{wiredCluster, "b"})
			conn, err := a.DialPeer(t.Context(), cmp.Or(tt.wants, "b"), b.Address())
			if err == nil {
				conn.Close()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), tt.told) {
				t.Errorf("the caller is told %q, want %q in it", err, tt.told)
			}
			if tt.warned != "" {
				book.waitWarning(t, tt.warned)
			}
		})
	}
}

// TestWireTakesURINames has nodes named by URIs, as SPIFFE does.
func TestWireTakesURINames(t *testing.T) {
	ca := newAuthority(t)
	named := func(id string) WireOptions {
		return WireOptions{TLS: ca.issue(t, id, func(c *x509.Certificate) {
			c.DNSNames, c.URIs = nil, []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/consentd/" + id}}
		})}
	}
	a, b := openWireAs(t, "a", named("a")), openWireAs(t, "b", named("b"))
	echo(t, b.PeerListener())
	t.Cleanup(func() { b.Close() })
	talk(t, "hello", "b", b.Address(), a.DialPeer)
}

func TestIdentifyLooksAtTheCertificate(t *testing.T) {
	ca := newAuthority(t)
	onlyCalls := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	tests := []struct {
		name  string
		files *TLSFiles
		want  string
	}{
		{"another name", ca.issue(t, "b"), "and not node a"},
		{"the name in a host", ca.issue(t, "a.example.org"), "and not node a"},
		{"expired", ca.issue(t, "a", expired), "expired"},
		{"good for calling only", ca.issue(t, "a", onlyCalls), "usage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := openWire(t, WireOptions{TLS: tt.files}).identify(wiredCluster, "a")
			if err == nil || strings.Count(err.Error(), tt.want) != 1 {
				t.Errorf("identify: %v, want an error with %q, once", err, tt.want)
			}
		})
	}
}

// TestWireReadsCertificatesAgain exchanges the certificates and then the CA while wires are open.
func TestWireReadsCertificatesAgain(t *testing.T) {
	ca := newAuthority(t)
	filesOfA, filesOfB := ca.issue(t, "a"), ca.issue(t, "b")
	book := &logBook{}
	a, b := openWireAs(t, "a", WireOptions{TLS: filesOfA, Logger: book.logger()}), openWireAs(t, "b", WireOptions{TLS: filesOfB})
	echo(t, b.PeerListener())
	t.Cleanup(func() { b.Close() })
	talk(t, "hello", "b", b.Address(), a.DialPeer)

	successor := newAuthority(t)
	successor.issueInto(t, filesOfA, "a")
	successor.issueInto(t, filesOfB, "b")
	a.review()
	b.review()
	talk(t, "hello again", "b", b.Address(), a.DialPeer)
	if _, err := a.keys.credentials().certificate.Leaf.Verify(x509.VerifyOptions{Roots: poolOf(successor)}); err != nil {
		t.Errorf("the new certificate isn't in use: %v", err)
	}

	if err := os.WriteFile(filesOfA.Key, []byte("half of a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.review()
	talk(t, "still there", "b", b.Address(), a.DialPeer)
	book.waitWarning(t, "can't be used")
}

func poolOf(a *authority) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func TestOpenWireRefuses(t *testing.T) {
	tests := []struct {
		name    string
		options WireOptions
		want    string
	}{
		{"all addresses without TLS", WireOptions{Listen: ":0"}, "without TLS"},
		{"all addresses and none to advertise", WireOptions{Listen: ":0", AllowPlaintext: true}, "names no machine"},
		{"an address that isn't one", WireOptions{Listen: "127.0.0.1:0", Advertise: "here"}, "give host:port"},
		{"no port", WireOptions{Listen: "127.0.0.1:0", Advertise: "127.0.0.1:0"}, "give host:port"},
		{"no CA", WireOptions{Listen: "127.0.0.1:0", TLS: &TLSFiles{Cert: "a", Key: "b"}}, "no CA"},
		{"no file", WireOptions{Listen: "127.0.0.1:0", TLS: &TLSFiles{Cert: "a", Key: "b", CA: "c"}}, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := OpenWire(t.Context(), tt.options)
			if err == nil {
				w.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("OpenWire: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestPlaintextStaysOnThisMachine(t *testing.T) {
	other := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	for _, tt := range []struct {
		name    string
		options WireOptions
		want    bool
	}{
		{"plaintext", WireOptions{}, false},
		{"plaintext allowed", WireOptions{AllowPlaintext: true}, true},
		{"TLS", WireOptions{TLS: newAuthority(t).issue(t, "a")}, true},
	} {
		if got := openWire(t, tt.options).mayTalkTo(other); got != tt.want {
			t.Errorf("%s to another machine: %t, want %t", tt.name, got, tt.want)
		}
	}
}

// TestWireBeforeItsCluster refuses calls in words, without a warning: that is how a cluster forms.
func TestWireBeforeItsCluster(t *testing.T) {
	book := &logBook{}
	a, b := openWireAs(t, "a", WireOptions{}), openWire(t, WireOptions{Logger: book.logger()})
	if _, err := a.DialPeer(t.Context(), "b", b.Address()); err == nil || !strings.Contains(err.Error(), "isn't ready") {
		t.Errorf("dialing one without a cluster: %v", err)
	}
	if _, err := b.DialPeer(t.Context(), "a", a.Address()); !errors.Is(err, errNotReady) {
		t.Errorf("dialing without a cluster: %v", err)
	}
	if lines := book.warnings(); len(lines) > 0 {
		t.Errorf("warned %q", lines)
	}
}

// TestWireBearsGarbage sends what no replica sends. A replica that calls meanwhile is served.
func TestWireBearsGarbage(t *testing.T) {
	for way, options := range eitherWay(t) {
		t.Run(way, func(t *testing.T) {
			book := &logBook{}
			o := options("b")
			o.Logger, o.patience = book.logger(), 500*time.Millisecond
			a, b := openWireAs(t, "a", options("a")), openWireAs(t, "b", o)
			echo(t, b.PeerListener())
			t.Cleanup(func() { b.Close() })
			good := preface{kind: kindPeers, cluster: wiredCluster, from: "a", to: "b"}.bytes()
			for _, text := range [][]byte{
				[]byte("GET / HTTP/1.1\r\nHost: here\r\n\r\n"), bytes.Repeat([]byte{0xff}, 1000), make([]byte, 1000), good[:5], good[:len(good)-1],
				append([]byte(prefaceMagic), 99, 'r', 0, 0, 0), append([]byte(prefaceMagic), 1, 'x', 0, 0, 0), {0x16, 0x03, 0x01, 0xff, 0xff, 1},
			} {
				conn, err := net.Dial("tcp", b.Address())
				if err != nil {
					t.Fatal(err)
				}
				conn.Write(text)
				t.Cleanup(func() { conn.Close() })
				talk(t, "meanwhile", "b", b.Address(), a.DialPeer)
				conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%q wasn't ended", text)
				}
			}
			if lines := book.warnings(); len(lines) != 1 {
				t.Errorf("%d warnings about one address, want 1: %q", len(lines), lines)
			}
		})
	}
}

// TestWireBearsCrowds opens more connections than may begin at once. A replica gets in, for the silent ones make room.
func TestWireBearsCrowds(t *testing.T) {
	a, b := openWireAs(t, "a", WireOptions{}), openWireAs(t, "b", WireOptions{})
	echo(t, b.PeerListener())
	t.Cleanup(func() { b.Close() })
	var crowd []net.Conn
	for range 2 * maxHandshakes {
		conn, err := net.Dial("tcp", b.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		crowd = append(crowd, conn)
	}
	talk(t, "let me in", "b", b.Address(), a.DialPeer)
	crowd[0].SetReadDeadline(time.Now().Add(handshakeTimeout / 2))
	if _, err := crowd[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest of the crowd is still there: %v", err)
	}
}

// TestWireClosesAmidHandshakes leaves nothing running, on both sides.
func TestWireClosesAmidHandshakes(t *testing.T) {
	for way, options := range eitherWay(t) {
		t.Run(way, func(t *testing.T) {
			silent, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			w := openWireAs(t, "a", options("a"))
			var dialing sync.WaitGroup
			for range 10 {
				conn, err := net.Dial("tcp", w.Address())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				dialing.Go(func() {
					if conn, err := w.DialPeer(t.Context(), "b", silent.Addr().String()); err == nil {
						conn.Close()
						t.Error("connected to one that says nothing")
					}
				})
			}
			waitFor(t, "handshakes on both sides", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return len(w.handshakes) == 10 && len(w.open) == 20
			})
			began := time.Now()
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			dialing.Wait()
			if took := time.Since(began); took > handshakeTimeout/2 {
				t.Errorf("closing took %s", took)
			}
			if conn, err := w.DialPeer(t.Context(), "b", silent.Addr().String()); err == nil {
				conn.Close()
				t.Error("a closed wire connects")
			}
		})
	}
}

// TestDialPeerGivesUp when its context ends.
func TestDialPeerGivesUp(t *testing.T) {
	for way, options := range eitherWay(t) {
		t.Run(way, func(t *testing.T) {
			silent, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			if _, err := openWireAs(t, "a", options("a")).DialPeer(ctx, "b", silent.Addr().String()); !errors.Is(err, context.Canceled) {
				t.Errorf("DialPeer: %v, want context.Canceled", err)
			}
		})
	}
}

func FuzzReadPreface(f *testing.F) {
	f.Add(preface{kind: kindRaft, cluster: wiredCluster, from: "a", to: "b"}.bytes())
	f.Add(preface{kind: kindPeers, cluster: "c", from: strings.Repeat("n", 64), to: "node-1"}.bytes())
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0x16, 0x03, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		p, err := readPreface(r)
		if err != nil {
			return
		}
		if again := p.bytes(); !bytes.Equal(again, data[:len(data)-r.Len()]) {
			t.Errorf("%q was read as %q", data, again)
		}
	})
}

func TestAnswers(t *testing.T) {
	var b bytes.Buffer
	if err := errors.Join(writeWelcome(&b), readAnswer(&b)); err != nil {
		t.Errorf("a welcome is read as %v", err)
	}
	long := strings.Repeat("ü", 200)
	if err := writeRefusal(&b, long); err != nil {
		t.Fatal(err)
	}
	if err := readAnswer(&b); err == nil || !strings.Contains(err.Error(), long[:254]) {
		t.Errorf("a long refusal is read as %v", err)
	}
	if b.Len() != 0 {
		t.Errorf("%d bytes are left", b.Len())
	}
}

func TestAnothersCertificateFoundsNothing(t *testing.T) {
	o := Options{DataDir: t.TempDir(), NodeID: "a", Peers: nobody{}}
	o.Wire = openWire(t, WireOptions{TLS: newAuthority(t).issue(t, "n1")})
	_, err := New(o)
	if err == nil || !strings.Contains(err.Error(), "the certificate names [\"n1\"] and not node a") {
		t.Fatalf("%v, want that the certificate is another's", err)
	}
	o.Wire = nil
	dir, err := openDataDir(o.withDefaults().FS, o.DataDir, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if state := dir.standing().state; state != stateNew {
		t.Errorf("the directory is that of a %s replica, want a new one", state)
	}
}
