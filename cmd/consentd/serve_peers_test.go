package main

import (
	"strings"
	"testing"
)

// TestUsageOfPeers gives flags about other replicas that can't be: nothing is opened, and the message says what to do.
func TestUsageOfPeers(t *testing.T) {
	const raft = "--raft-listen=127.0.0.1:0"
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"node id", []string{"--node-id", "a b"}, `--node-id "a b" isn't 1 to 64 letters`},
		{"join alone", []string{"--join", "a:1"}, "--join is about other replicas, and there is no address to answer them on: say --raft-listen"},
		{"expect alone", []string{"--bootstrap-expect", "3"}, "--bootstrap-expect is about other replicas"},
		{"advertise alone", []string{"--advertise", "a:1"}, "--advertise is about other replicas"},
		{"learner alone", []string{"--learner"}, "--learner is about other replicas"},
		{"certificate alone", []string{"--peer-tls-cert", "c.pem"}, "--peer-tls-cert is about other replicas"},
		{"plaintext alone", []string{"--" + peersDangerFlag}, "--" + peersDangerFlag + " is about other replicas"},
		{"no port", []string{"--raft-listen", "127.0.0.1"}, "write HOST:PORT"},
		{"a socket", []string{"--raft-listen", "unix:///run/a.sock"}, "write HOST:PORT"},
		{"everywhere", []string{"--raft-listen", ":7435"}, "names no machine that the others could reach: say --advertise"},
		{"everywhere in IPv6", []string{"--raft-listen", "[::]:7435"}, "say --advertise"},
		{"advertise no port", []string{raft, "--advertise", "n1"}, "leads to --raft-listen"},
		{"advertise port 0", []string{raft, "--advertise", "n1:0"}, "leads to --raft-listen"},
		{"advertise everywhere", []string{raft, "--advertise", "0.0.0.0:7435"}, "leads to --raft-listen"},
		{"join no port", []string{raft, "--join", "127.0.0.1:99999"}, `"127.0.0.1:99999" can't be the address of a replica to join`},
		{"join nowhere", []string{raft, "--join", "127.0.0.1:1,n2"}, `"n2" can't be the address of a replica to join`},
		{"join nobody", []string{raft, "--join", ""}, "--join is empty: name the --listen addresses of the replicas to join"},
		{"join nobody alone", []string{"--join="}, "--join is empty"},
		{"expect nobody", []string{raft, "--bootstrap-expect", "0", "--join", "a:1"}, "--bootstrap-expect 0 founds no cluster: leave it out"},
		{"expect nobody alone", []string{"--bootstrap-expect", "0"}, "--bootstrap-expect 0 founds no cluster"},
		{"expect less than nothing", []string{raft, "--bootstrap-expect", "-1"}, "--bootstrap-expect -1 must be"},
		{"alone with others", []string{raft, "--bootstrap-expect", "1", "--join", "a:1"}, "leave one of them out"},
		{"too few to find", []string{raft, "--bootstrap-expect", "5", "--join", "a:1,b:2"}, "or at least of all others: there are 2"},
		{"half of TLS", []string{raft, "--peer-tls-cert", "c.pem", "--peer-tls-ca", "ca.pem"}, "give all three, or none"},
		{"TLS and none", []string{
			raft, "--peer-tls-cert", "c.pem", "--peer-tls-key", "k.pem", "--peer-tls-ca", "ca.pem", "--" + peersDangerFlag,
		}, "contradicts"},
		{"plaintext for all to read", []string{"--raft-listen", "0.0.0.0:0", "--advertise", "127.0.0.1:7435"}, "--" + peersDangerFlag},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"}, tt.args...)
			got := consentd(t, args...)
			if got.code != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("exit code %d, standard output %q, standard error:\n%s\nwant exit code %d and %q", got.code, got.stdout, got.stderr,
					exitUsage, tt.want)
			}
		})
	}
}
