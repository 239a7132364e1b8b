package main

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/cluster"
)

// peersDangerFlag allows talking to other machines without TLS.
const peersDangerFlag = "allow-plaintext-peers"

// peersConfig is what serve takes about other replicas. Without an address to listen on for them, the replica is alone.
type peersConfig struct {
	nodeID    string
	listen    string
	advertise string
	join      []string
	expect    int
	learner   bool
	tls       cluster.TLSFiles
	plaintext bool
}

func (p *peersConfig) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.nodeID, "node-id", "", "the `NAME` of this replica for all time; one is made up for a new directory if left out")
	flags.StringVar(&p.listen, "raft-listen", "", "the `HOST:PORT` to answer other replicas on; without it, the replica is alone")
	flags.StringVar(&p.advertise, "advertise", "", "the `HOST:PORT` where the others reach --raft-listen, if that is another")
	flags.StringSliceVar(&p.join, "join", nil,
		"the --listen addresses `ADDR,...` of replicas to form a cluster with; the own one may be among them; may be repeated")
	flags.IntVar(&p.expect, "bootstrap-expect", 0, "form a new cluster once `N` replicas that expect as many have found each other")
	flags.BoolVar(&p.learner, "learner", false, "never vote, nor count for --bootstrap-expect: for reads near the traffic")
	flags.StringVar(&p.tls.Cert, "peer-tls-cert", "", "the `FILE` with this replica's certificate for other replicas, which names its node id")
	flags.StringVar(&p.tls.Key, "peer-tls-key", "", "the `FILE` with the private key of that certificate")
	flags.StringVar(&p.tls.CA, "peer-tls-ca", "", "the `FILE` with the certificates of the CA that all replicas trust, and nobody else uses")
	flags.BoolVar(&p.plaintext, peersDangerFlag, false,
		"talk to replicas on other machines without TLS: whoever reaches --raft-listen can read and replace every record")
}

// alone says whether there are no other replicas to talk to.
func (p *peersConfig) alone() bool { return p.listen == "" }

func (p *peersConfig) validate() error {
	for _, check := range []func() error{p.checkID, p.checkAlone, p.checkAddresses, p.checkForming, p.checkTLS} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (p *peersConfig) checkID() error {
	if (cluster.Options{DataDir: ".", NodeID: p.nodeID}).Validate() != nil {
		return usageErrorf("--node-id %q isn't 1 to 64 letters, digits, dots, hyphens and underscores", p.nodeID)
	}
	return nil
}

// checkAlone names a flag that says nothing without others to talk to.
func (p *peersConfig) checkAlone() error {
	if !p.alone() {
		return nil
	}
	for _, flag := range []struct {
		name  string
		given bool
	}{
		{"join", len(p.join) > 0}, {"bootstrap-expect", p.expect > 1}, {"advertise", p.advertise != ""}, {"learner", p.learner},
		{"peer-tls-cert", p.tls.Cert != ""}, {"peer-tls-key", p.tls.Key != ""}, {"peer-tls-ca", p.tls.CA != ""},
		{peersDangerFlag, p.plaintext},
	} {
		if flag.given {
			return usageErrorf("--%s is about other replicas, and there is no address to answer them on: say --raft-listen HOST:PORT", flag.name)
		}
	}
	return nil
}

func (p *peersConfig) checkAddresses() error {
	if p.alone() {
		return nil
	}
	host, _, err := splitHostPort(p.listen)
	if err != nil {
		return usageErrorf("--raft-listen %q can't be listened on: write HOST:PORT", p.listen)
	}
	if p.advertise == "" && namesNoMachine(host) {
		return usageErrorf("--raft-listen %s names no machine that the others could reach: say --advertise HOST:PORT", p.listen)
	}
	if host, port, err := splitHostPort(p.advertise); p.advertise != "" && (err != nil || port == 0 || namesNoMachine(host)) {
		return usageErrorf("--advertise %q can't be reached by the others: write the HOST:PORT that leads to --raft-listen", p.advertise)
	}
	return checkAddresses("a replica to join", p.join)
}

// splitHostPort takes a port by its number alone.
func splitHostPort(addr string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	number, err := strconv.ParseUint(text, 10, 16)
	return host, uint16(number), err
}

// namesNoMachine recognises 0.0.0.0, [::] and the empty host.
func namesNoMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

func (p *peersConfig) checkForming() error {
	switch {
	case p.expect < 0:
		return usageErrorf("--bootstrap-expect %d must be the number of replicas to begin with, as 3", p.expect)
	case p.expect == 1 && len(p.join) > 0:
		return usageErrorf("--bootstrap-expect 1 founds a cluster of this replica alone, and --join joins others: leave one of them out")
	case len(p.join) > 0 && len(p.join) < p.expect-1 && !p.learner:
		return usageErrorf("--bootstrap-expect %d needs the addresses of all replicas in --join, or at least of all others: there are %d",
			p.expect, len(p.join))
	}
	return nil
}

func (p *peersConfig) checkTLS() error {
	some := p.tls != cluster.TLSFiles{}
	switch {
	case some && (p.tls.Cert == "" || p.tls.Key == "" || p.tls.CA == ""):
		return usageErrorf("--peer-tls-cert, --peer-tls-key and --peer-tls-ca go together: give all three, or none")
	case some && p.plaintext:
		return usageErrorf("--%s contradicts --peer-tls-cert: leave one of them out", peersDangerFlag)
	}
	return nil
}
