package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A certificate names a node by a DNS name that is the node's id, or by a URI whose path ends in this and the id, as in
// spiffe://example.org/consentd/node-1. Letter by letter: what a pattern like *.example.org matches is more than one node.
const uriBeforeID = "/consentd/"

var (
	errNoTLS = errors.New("the caller speaks no TLS, and this replica takes nothing else: give certificates to both")
	errIsTLS = errors.New("the caller speaks TLS, and this replica was started without: give certificates to both")
	// errAnswersWithoutTLS is what a caller makes of errIsTLS, and of anything else that isn't TLS.
	errAnswersWithoutTLS = errors.New("it doesn't answer in TLS: give certificates to both, and check the address")
)

// credentials are what a replica proves its name with, and checks those of others against.
type credentials struct {
	certificate tls.Certificate
	chain       []*x509.Certificate // the certificate, and those between it and the CA
	authorities *x509.CertPool
	now         func() time.Time
}

// loadCredentials reads the files.
func loadCredentials(files TLSFiles, now func() time.Time) (*credentials, error) {
	for option, file := range map[string]string{"certificate": files.Cert, "key": files.Key, "CA": files.CA} {
		if file == "" {
			return nil, fmt.Errorf("the peers' TLS has no %s: name a file for certificate, key and CA", option)
		}
	}
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the peers' certificate %s and key %s: %w", files.Cert, files.Key, err)
	}
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the peers' CA: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the peers' CA %s holds no certificate: it has to be PEM", files.CA)
	}
	c := &credentials{certificate: certificate, authorities: authorities, now: now}
	for _, der := range certificate.Certificate {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("reading the peers' certificate %s: %w", files.Cert, err)
		}
		c.chain = append(c.chain, one)
	}
	return c, nil
}

// config returns the TLS of one side. Whom the other side's certificate names is checked apart, as soon as it is known who it says it is.
func (c *credentials) config(use x509.ExtKeyUsage) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{c.certificate},
		// The chain is verified in VerifyConnection, against our own CA, but not for a host's name: peers are known by their ids.
		InsecureSkipVerify:     true,
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true, // each connection proves anew
		VerifyConnection:       func(s tls.ConnectionState) error { return c.verify(s.PeerCertificates, use) },
	}
}

// verify returns nil if certificates lead to the peers' CA now.
func (c *credentials) verify(chain []*x509.Certificate, use x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("it has no certificate")
	}
	_, err := c.ways(chain, use)
	return err
}

// ways returns how a certificate leads to the peers' CA.
func (c *credentials) ways(chain []*x509.Certificate, use x509.ExtKeyUsage) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	return chain[0].Verify(x509.VerifyOptions{
		Roots: c.authorities, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use}, CurrentTime: c.now(),
	})
}

// waysToCA returns how the own certificate leads to the peers' CA: not at all if it has expired.
func (c *credentials) waysToCA() [][]*x509.Certificate {
	ways, err := c.ways(c.chain, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil
	}
	return ways
}

// keyring holds the credentials, and reads them again when the files change.
type keyring struct {
	files     TLSFiles
	log       *slog.Logger
	now       func() time.Time
	reminders *rarely
	laments   *rarely
	faults    *rarely

	mu      sync.Mutex
	current *credentials
	nodeID  string // whose certificate it has to be, once that is known
	stamp   string // of the files when they were read last
}

// openKeyring reads the files for the first time.
func openKeyring(files TLSFiles, log *slog.Logger, now func() time.Time) (*keyring, error) {
	k := &keyring{
		files: files, log: log, now: now, stamp: stampOf(files),
		reminders: newRarely(remindEvery, now), laments: newRarely(lamentEvery, now), faults: newRarely(warnEvery, now),
	}
	var err error
	k.current, err = loadCredentials(files, now)
	return k, err
}

// credentials returns the newest that could be read.
func (k *keyring) credentials() *credentials {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// reload reads the files if they have changed. Until they fit together, as while they are being exchanged, the old ones stay in use.
func (k *keyring) reload() {
	k.mu.Lock()
	defer k.mu.Unlock()
	stamp := stampOf(k.files)
	if stamp == k.stamp {
		return
	}
	fresh, err := loadCredentials(k.files, k.now)
	if err == nil && k.nodeID != "" {
		err = fresh.fit(k.nodeID)
	}
	if err != nil {
		if k.faults.due(err.Error()) {
			k.log.Warn("the peers' changed certificate can't be used, so the one before it stays in use", "error", err)
		}
		return
	}
	k.current, k.stamp = fresh, stamp
	k.log.Info("the peers' certificate was read again", "expires", fresh.expires())
}

// belongTo says whose certificate it has to be, and returns an error if it isn't.
func (k *keyring) belongTo(nodeID string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nodeID = nodeID
	if err := k.current.fit(nodeID); err != nil {
		return fmt.Errorf("no peer would accept %s: %w", k.files.Cert, err)
	}
	return nil
}

// fit returns nil if the others would take the certificate for a node's, whoever calls.
func (c *credentials) fit(nodeID string) error {
	called, calling := c.verify(c.chain, x509.ExtKeyUsageServerAuth), c.verify(c.chain, x509.ExtKeyUsageClientAuth)
	if called != nil && calling != nil && called.Error() == calling.Error() {
		calling = nil // said once
	}
	return errors.Join(checkName(c.chain[0], nodeID), called, calling)
}

// stampOf tells one state of the files from another.
func stampOf(files TLSFiles) string {
	var stamp strings.Builder
	for _, file := range []string{files.Cert, files.Key, files.CA} {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&stamp, "%d %d\n", info.ModTime().UnixNano(), info.Size())
		}
	}
	return stamp.String()
}

// checkName returns nil if a certificate names a node.
func checkName(certificate *x509.Certificate, nodeID string) error {
	names := slices.Clone(certificate.DNSNames)
	if slices.Contains(names, nodeID) {
		return nil
	}
	for _, uri := range certificate.URIs {
		if strings.HasSuffix(uri.Path, uriBeforeID+nodeID) {
			return nil
		}
		names = append(names, uri.String())
	}
	return fmt.Errorf("the certificate names %q and not node %s: the node's id has to be a DNS name in it, or a URI ending in %s%s", names,
		nodeID, uriBeforeID, nodeID)
}

// secureAsCalled begins TLS as the side that was called. Without TLS, it returns the connection as it is.
func (w *Wire) secureAsCalled(raw net.Conn) (net.Conn, error) {
	if w.keys == nil {
		return raw, nil
	}
	own := w.keys.credentials()
	conn := tls.Server(raw, own.config(x509.ExtKeyUsageClientAuth))
	err := conn.HandshakeContext(w.life)
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		return raw, errNoTLS
	case err != nil:
		return raw, fmt.Errorf("TLS: %w", err)
	}
	w.entrust(raw, &trust{
		own: own.chain, ownUse: x509.ExtKeyUsageServerAuth, other: conn.ConnectionState().PeerCertificates, otherUse: x509.ExtKeyUsageClientAuth,
	})
	return conn, nil
}

// secureAsCaller begins TLS as the side that calls a node, and makes sure that it is that one.
func (w *Wire) secureAsCaller(ctx context.Context, raw net.Conn, nodeID string) (net.Conn, error) {
	if w.keys == nil {
		return raw, nil
	}
	own := w.keys.credentials()
	conn := tls.Client(raw, own.config(x509.ExtKeyUsageServerAuth))
	err := conn.HandshakeContext(ctx)
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		return nil, errAnswersWithoutTLS
	case err != nil:
		return nil, fmt.Errorf("TLS: %w", err)
	}
	w.entrust(raw, &trust{
		own: own.chain, ownUse: x509.ExtKeyUsageClientAuth, other: conn.ConnectionState().PeerCertificates, otherUse: x509.ExtKeyUsageServerAuth,
	})
	return conn, checkPeer(conn, nodeID)
}

// checkPeer returns nil if the other side of a connection has proven to be a node. Without TLS, there is nothing to prove it with.
func checkPeer(conn net.Conn, nodeID string) error {
	secured, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	return checkName(secured.ConnectionState().PeerCertificates[0], nodeID)
}
