package server

import (
	"io"
	"net"
	"strings"
	"testing"
)

// TestWrongPort asks for a replica where something else answers, as the port of the peers does where it was named by mistake.
func TestWrongPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("\x20something else than HTTP/2"))
			io.Copy(io.Discard, conn) // until the caller is gone
			conn.Close()
		}
	}()
	_, err = NewPeers(nil).Introduce(t.Context(), listener.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "name --listen addresses") {
		t.Errorf("%v", err)
	}
}

// TestNobodyAnswers has the reason as the operating system gives it.
func TestNobodyAnswers(t *testing.T) {
	_, err := NewPeers(nil).Introduce(t.Context(), "127.0.0.1:1")
	if err == nil || err.Error() != "127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused" {
		t.Errorf("%v", err)
	}
}
