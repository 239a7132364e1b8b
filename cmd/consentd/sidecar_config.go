package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/consentd/consentd/client"
)

const (
	// upstreamDangerFlag allows talking to replicas on other machines without TLS.
	upstreamDangerFlag = "allow-plaintext-upstream"
	// leastCache is what a cache can do with, and defaultCache what it has if nothing is said.
	leastCache, defaultCache byteSize = 16 << 20, 256 << 20
	// mostCache is the most that a cache can take; more is a slip of the pen.
	mostCache byteSize = 1 << 40
)

// sidecarConfig is what sidecar takes, from file, environment and flags.
type sidecarConfig struct {
	front        frontConfig
	upstream     []string
	ca           string
	cert, key    string
	plaintext    bool
	cacheSize    byteSize
	maxStaleness time.Duration
	tenants      []string
}

func (s *sidecarConfig) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&s.upstream, "upstream", nil,
		"the `ADDR,...` of replicas to ask, each host:port or unix:///path, or dns:///host:port for all addresses of a name; may be repeated")
	flags.StringVar(&s.ca, "upstream-tls-ca", "", "ask the replicas over TLS, and trust the CA certificates in `FILE`")
	flags.StringVar(&s.cert, "upstream-tls-cert", "", "the `FILE` with the certificate to show to the replicas")
	flags.StringVar(&s.key, "upstream-tls-key", "", "the `FILE` with the private key of that certificate")
	flags.BoolVar(&s.plaintext, upstreamDangerFlag, false,
		"ask replicas on other machines without TLS: whoever is on the way can read who is asked about, and answer")
	s.cacheSize = defaultCache
	flags.Var(&s.cacheSize, "cache-size", "how much memory the records held here take")
	flags.DurationVar(&s.maxStaleness, "max-staleness", 0,
		"how long a withdrawn consent may still be decided ALLOW here at most; the cluster's bound if left out, or if that is lower")
	flags.StringSliceVar(&s.tenants, "tenants", nil,
		"the tenants `NAME,...` to hold records of, all if left out; replicas are asked about others")
	s.front.add(cmd)
}

// validate finds what is wrong before anything is opened.
func (s *sidecarConfig) validate() error {
	if err := s.front.validate(); err != nil {
		return err
	}
	switch {
	case len(s.upstream) == 0:
		return usageErrorf("name the replicas to ask: --upstream n1:7433,n2:7433,n3:7433, or dns:///NAME:7433 for all addresses of a name")
	case s.cacheSize < leastCache:
		return usageErrorf("--cache-size %s is too small: a cache needs at least %s", &s.cacheSize, new(leastCache))
	case s.cacheSize > mostCache:
		return usageErrorf("--cache-size %s is too large: a cache can take at most %s", &s.cacheSize, new(mostCache))
	case s.maxStaleness != 0 && (s.maxStaleness < 100*time.Millisecond || s.maxStaleness > time.Hour):
		return usageErrorf("--max-staleness %s must be between 100ms and 1h", s.maxStaleness)
	case slices.Contains(s.tenants, ""):
		return usageErrorf("--tenants has an empty name: write them as shop,blog, or leave it out for all")
	}
	for _, place := range s.upstream {
		if place = strings.TrimPrefix(strings.TrimSpace(place), "dns:///"); slices.Contains(s.front.listen, place) {
			return usageErrorf("--upstream %s is a --listen address of this sidecar, which can't ask itself: name replicas", place)
		}
	}
	return s.checkTLS()
}

func (s *sidecarConfig) checkTLS() error {
	switch {
	case (s.cert == "") != (s.key == ""):
		return usageErrorf("--upstream-tls-cert and --upstream-tls-key go together: give both, or none")
	case s.cert != "" && s.ca == "":
		return usageErrorf("--upstream-tls-cert is for TLS, and there is no CA to trust: say --upstream-tls-ca FILE")
	case s.plaintext && s.ca != "":
		return usageErrorf("--%s contradicts --upstream-tls-ca: leave one of them out", upstreamDangerFlag)
	}
	return nil
}

// connect returns the connection to the replicas, which needn't be there yet.
func (s *sidecarConfig) connect() (*grpc.ClientConn, error) {
	secured, err := s.tls()
	if err != nil {
		return nil, err
	}
	conn, err := client.Connect(strings.Join(s.upstream, ","), client.ConnOptions{
		TLS: secured, Plaintext: s.plaintext, UserAgent: "consentd-sidecar/" + version,
	})
	switch {
	case errors.Is(err, client.ErrPlaintext):
		return nil, usageErrorf("--upstream %s is on another machine, and nothing would be encrypted on the way: say --upstream-tls-ca FILE, "+
			"or --%s", strings.Join(s.upstream, ","), upstreamDangerFlag)
	case err != nil:
		return nil, usageErrorf("--upstream: %w", err)
	}
	return conn, nil
}

// tls returns nil without a CA.
func (s *sidecarConfig) tls() (*tls.Config, error) {
	if s.ca == "" {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	text, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, fmt.Errorf("--upstream-tls-ca can't be read: %w", err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(text) {
		return nil, usageErrorf("--upstream-tls-ca %s holds no certificate in PEM", s.ca)
	}
	config := &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS13}
	if s.cert == "" {
		return config, nil
	}
	read := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // for each connection: it may have been renewed
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		return &pair, err
	}
	if _, err := read(nil); err != nil {
		return nil, usageErrorf("--upstream-tls-cert %s and --upstream-tls-key %s can't be used: %w", s.cert, s.key, err)
	}
	config.GetClientCertificate = read
	return config, nil
}
