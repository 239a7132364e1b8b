package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSidecarOverTLS asks a replica behind a proxy that wants certificates: with one, without one, and trusting somebody else.
func TestSidecarOverTLS(t *testing.T) {
	authority := newTestAuthority(t)
	files := authority.issue(t, "localhost")
	cert, key := files[1], files[3]
	replica := spawn(t, filepath.Join(t.TempDir(), "data"))
	proxy := startTLSProxy(t, strings.TrimPrefix(replica.addr, "unix://"), authority, cert, key)

	certified := []string{"--upstream-tls-ca", authority.file, "--upstream-tls-cert", cert, "--upstream-tls-key", key}
	sidecar := spawnSidecar(t, proxy, certified...)
	if got := ask(t, sidecar.addr, "check", "anna@example.com", "crm_storage"); got.code != exitDone {
		t.Errorf("a check: %+v", got)
	}
	for words, args := range map[string][]string{
		"certificate required": {"--upstream-tls-ca", authority.file},
		"unknown authority":    append([]string{"--upstream-tls-ca", newTestAuthority(t).file}, certified[2:]...),
	} {
		awaitWords(t, startSidecar(t, proxy, args...).addr, words)
	}
}

// awaitWords asks a sidecar for what it passes on until it says why it can't, which is what its newest connection has come to.
func awaitWords(t *testing.T, addr, words string) {
	t.Helper()
	var got result
	for began := time.Now(); time.Since(began) < patience; {
		got = ask(t, addr, "policy", "list")
		if got.code == exitFailed && strings.Contains(got.stderr, words) && strings.Contains(got.stderr, "NOT_READY") {
			return
		}
	}
	t.Errorf("it never says %q: %+v", words, got)
}

// startTLSProxy leads to a socket whoever shows a certificate of an authority.
func startTLSProxy(t *testing.T, socket string, a *testAuthority, cert, key string) (addr string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	signed, err := x509.ParseCertificate(a.sign(t, a.certificate, a.key))
	if err != nil {
		t.Fatal(err)
	}
	trusted.AddCert(signed)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted, NextProtos: []string{"h2"},
		MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			outer, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { join(outer, socket) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
	return strings.Replace(listener.Addr().String(), "127.0.0.1", "localhost", 1)
}

// join copies both ways until either side ends.
func join(outer net.Conn, socket string) {
	defer outer.Close()
	inner, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	go func() {
		io.Copy(inner, outer)
		inner.Close()
	}()
	io.Copy(outer, inner)
}
