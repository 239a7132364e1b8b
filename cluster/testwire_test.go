package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const wiredCluster = "018f3c1e-0000-7000-8000-000000000001"

// openWire opens a wire on a free port of the loopback address. It is closed with the test.
func openWire(tb testing.TB, o WireOptions) *Wire {
	tb.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	w, err := OpenWire(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := w.Close(); err != nil {
			tb.Errorf("closing the wire: %v", err)
		}
	})
	return w
}

// openWireAs opens a wire of a node of the test's cluster.
func openWireAs(tb testing.TB, nodeID string, o WireOptions) *Wire {
	tb.Helper()
	w := openWire(tb, o)
	if err := w.identify(wiredCluster, nodeID); err != nil {
		tb.Fatal(err)
	}
	return w
}

// authority is a CA of peers.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes a CA. Edits change its certificate before it is signed.
func newAuthority(tb testing.TB, edits ...func(*x509.Certificate)) *authority {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "peers"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for _, edit := range edits {
		edit(template)
	}
	a := &authority{key: newKey(tb)}
	a.certificate = sign(tb, template, template, a.key, a.key)
	return a
}

// issue writes the files of a node's certificate. Edits change it before it is signed.
func (a *authority) issue(tb testing.TB, nodeID string, edits ...func(*x509.Certificate)) *TLSFiles {
	tb.Helper()
	dir := tb.TempDir()
	files := &TLSFiles{Cert: filepath.Join(dir, "peer.crt"), Key: filepath.Join(dir, "peer.key"), CA: filepath.Join(dir, "ca.crt")}
	a.issueInto(tb, files, nodeID, edits...)
	return files
}

func (a *authority) issueInto(tb testing.TB, files *TLSFiles, nodeID string, edits ...func(*x509.Certificate)) {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{nodeID}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for _, edit := range edits {
		edit(template)
	}
	key := newKey(tb)
	certificate := sign(tb, template, a.certificate, key, a.key)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	writePEM(tb, files.Cert, "CERTIFICATE", certificate.Raw)
	writePEM(tb, files.Key, "PRIVATE KEY", secret)
	writePEM(tb, files.CA, "CERTIFICATE", a.certificate.Raw)
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func sign(tb testing.TB, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return certificate
}

func writePEM(tb testing.TB, path, kind string, der []byte) {
	tb.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

// logBook keeps what is logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// warnings returns the lines with warnings.
func (b *logBook) warnings() []string { return b.lines("level=WARN") }

// lines returns the lines with something in them.
func (b *logBook) lines(with string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []string
	for line := range strings.Lines(b.text.String()) {
		if strings.Contains(line, with) {
			lines = append(lines, line)
		}
	}
	return lines
}

// waitWarning waits for a first warning, and makes sure that it says something.
func (b *logBook) waitWarning(tb testing.TB, want string) {
	tb.Helper()
	waitFor(tb, "a warning", func() bool { return len(b.warnings()) > 0 })
	if line := b.warnings()[0]; !strings.Contains(line, want) {
		tb.Errorf("warned %s, want a line with %q", line, want)
	}
}
