package cluster

import "errors"

var (
	// ErrDataDir is returned by Open for a data directory that isn't ours, is in use, or isn't whole. The message says what to do.
	ErrDataDir = errors.New("the data directory can't be used")
	// ErrPseudonymKey is returned by Open when the key file is missing, unreadable or another cluster's. The message says what to do.
	ErrPseudonymKey = errors.New("the pseudonym key can't be used")
	// ErrNotLeading is the reason for writes not done, and for freshness not proven, while this replica doesn't lead the cluster.
	ErrNotLeading = errors.New("this replica doesn't lead the cluster")
	// ErrClock is the reason for writes not done while this machine's clock can't be right. They go on once it is set.
	ErrClock = errors.New("the clock of this machine can't be right")
	// ErrPlaintext is returned for talking to other machines without TLS, unless that danger is allowed.
	ErrPlaintext = errors.New("without TLS, replicas talk to loopback addresses only: give them certificates, or allow plaintext explicitly, " +
		"which lets everybody who can connect read and replace all data")
	// ErrForming is returned by Start when this replica can't found a cluster with those that it sees, or isn't taken into theirs. The
	// message says what to do.
	ErrForming = errors.New("no cluster can be formed")
	// ErrRemoved is the failure of a replica that its cluster has removed, or was founded without.
	ErrRemoved = errors.New("this replica doesn't belong to its cluster")
)
