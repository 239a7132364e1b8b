package cluster

import (
	"io"
	"net"
	"testing"
)

// BenchmarkWire measures what a connection between replicas costs to begin, and what one message of 256 bytes there and back costs then;
// bare is TCP without TLS and preface.
func BenchmarkWire(b *testing.B) {
	ca := newAuthority(b)
	for _, way := range []string{"bare", "plaintext", "TLS"} {
		var dial func() (net.Conn, error)
		if way == "bare" {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { l.Close() })
			go serveEcho(l)
			dial = func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
		} else {
			var of, to WireOptions
			if way == "TLS" {
				of.TLS, to.TLS = ca.issue(b, "a"), ca.issue(b, "b")
			}
			from, called := openWireAs(b, "a", of), openWireAs(b, "b", to)
			go serveEcho(called.PeerListener())
			dial = func() (net.Conn, error) { return from.DialPeer(b.Context(), "b", called.Address()) }
		}
		b.Run("begin/"+way, func(b *testing.B) {
			for b.Loop() {
				conn, err := dial()
				if err != nil {
					b.Fatal(err)
				}
				conn.Close()
			}
		})
		b.Run("message/"+way, func(b *testing.B) {
			conn, err := dial()
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			message := make([]byte, 256)
			for b.Loop() {
				if _, err := conn.Write(message); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(conn, message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
