package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
)

func TestTargets(t *testing.T) {
	tests := []struct {
		target string
		name   string // what the library is given; empty: refused
		local  bool
	}{
		{"127.0.0.1:7433", "dns:///127.0.0.1:7433", true},
		{"[::1]:7433", "dns:///[::1]:7433", true},
		{"localhost:7433", "dns:///localhost:7433", true},
		{"dns:///consentd:7433", "dns:///consentd:7433", false},
		{"consentd.shop.svc:7433", "dns:///consentd.shop.svc:7433", false},
		{"unix:///run/consentd.sock", "unix:/run/consentd.sock", true},
		{"unix:/run/consentd.sock", "unix:/run/consentd.sock", true},
		{"a:7433,b:7433, c:7433", "consentd:///list", false},
		{"127.0.0.1:1,unix:///run/a.sock", "consentd:///list", true},
		{"127.0.0.1:1,b:2", "consentd:///list", false},
		{"", "", false},
		{"a:1,", "", false},
		{"consentd", "", false},
		{":7433", "", false},
		{"a:", "", false},
		{"unix://", "", false},
		{"http://a:80", "", false},
		{"dns://8.8.8.8/a:80", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			parsed, err := parseTarget(tt.target)
			if tt.name == "" {
				if !errors.Is(err, ErrTarget) {
					t.Errorf("error %v, want ErrTarget", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, remote := parsed.remote(); parsed.name() != tt.name || remote == tt.local {
				t.Errorf("name %q, on another machine %t; want %q, %t", parsed.name(), remote, tt.name, !tt.local)
			}
		})
	}
}

// TestPlaintextStaysHere: what leaves the machine is encrypted, or somebody said that it needn't be.
func TestPlaintextStaysHere(t *testing.T) {
	const far = "127.0.0.1:7433,consentd.example:7433"
	tests := []struct {
		name   string
		target string
		o      ConnOptions
		want   error
	}{
		{"on this machine", "127.0.0.1:7433", ConnOptions{}, nil},
		{"one of several elsewhere", far, ConnOptions{}, ErrPlaintext},
		{"with TLS", far, ConnOptions{TLS: &tls.Config{MinVersion: tls.VersionTLS13}}, nil},
		{"allowed", far, ConnOptions{Plaintext: true}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := Connect(tt.target, tt.o)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err == nil && conn.Close() != nil {
				t.Error("the connection can't be closed")
			}
		})
	}
}

// TestAReplicaIsLookedForOften, on this machine oftener: one that was restarted is found soon.
func TestAReplicaIsLookedForOften(t *testing.T) {
	for target, most := range map[string]time.Duration{
		"unix:///run/a.sock": lastLocalBackoff, "127.0.0.1:1,unix:///run/a.sock": lastLocalBackoff, "b.example:1,c.example:1": lastBackoff,
	} {
		t.Run(target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries atomic.Int64
				dial := func(context.Context, string) (net.Conn, error) {
					tries.Add(1)
					return nil, errors.New("nobody listens")
				}
				conn, err := Connect(target, ConnOptions{Plaintext: true, More: []grpc.DialOption{grpc.WithContextDialer(dial)}})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.Connect()
				time.Sleep(time.Minute)
				before := tries.Load()
				time.Sleep(time.Minute)
				if got, want := tries.Load()-before, int64(time.Minute*10/(most*12)); got < want { // the library adds up to a fifth
					t.Errorf("tried %d times in a minute, want %d at least", got, want)
				}
			})
		})
	}
}
