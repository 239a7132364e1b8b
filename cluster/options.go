package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// Options say where and how a node runs. Only DataDir is needed.
type Options struct {
	// DataDir is where everything lies. It is made if it isn't there.
	DataDir string
	// NodeID names this replica for all time: up to 64 letters, digits, dots, hyphens and underscores. Empty takes the one in DataDir, or
	// makes one up for a new DataDir.
	NodeID string
	// PseudonymKeyFile is DataDir/pseudonym.key unless set. The first start of a cluster of one makes it if it is missing.
	PseudonymKeyFile string
	// Wire carries what replicas say to each other. Without it, this is a cluster of one. The node doesn't close it.
	Wire *Wire
	// Peers asks the other replicas. It is needed with Wire.
	Peers Peers
	// BootstrapExpect is how many new replicas found a cluster together: this one alone for 0 and 1. It matters as long as the replica
	// belongs to no cluster, as do Join and Learner.
	BootstrapExpect int
	// Join are addresses of the API of replicas, among which this one's may be. A new replica founds a cluster with those that are new, if
	// BootstrapExpect says so, and otherwise waits for one that belongs to a cluster and joins that.
	Join []string
	// Learner keeps the replica from voting. It founds nothing.
	Learner bool
	// Listen are the addresses of its own API, to tell others.
	Listen []string
	// Version is that of the program, to tell others.
	Version string
	// MaxStaleness is the staleness bound: the longest time that a withdrawn consent may still be decided ALLOW, at least 1 s, because an
	// election must fit into it. A cluster keeps that of its founder, 2 s unless set; other replicas may only set a lower one for themselves.
	MaxStaleness time.Duration
	// MinFreeBytes is how much space has to be free for writes to go on. 256 MiB unless set; negative for no limit.
	MinFreeBytes int64
	// DiskStall is how long one operation of the disk may take before it counts as failed. 20 s unless set.
	DiskStall time.Duration
	// MaxWaiting is how many writes may wait to be proposed. 16,384 unless set.
	MaxWaiting int
	// Logger gets messages. None are written unless it is set.
	Logger *slog.Logger
	// FS is where DataDir lies: the operating system's file system unless set. Tests lose power and damage files with another one.
	FS vfs.FS
	// Now is time.Now unless set.
	Now func() time.Time

	tuning tuning
}

// tuning is what only tests change.
type tuning struct {
	election         time.Duration // Raft's heartbeat and election timeouts
	trailingLogs     uint64
	snapshotInterval time.Duration
	snapshotEntries  uint64        // that have to be new for a snapshot
	inspection       time.Duration // how often the leader looks whether a learner is fit to vote
	discovery        time.Duration // how long after a look at the others the next one follows, at first
	place            time.Duration // how often a replica looks whether the cluster knows its address
	commit           time.Duration // Raft's CommitTimeout
	changes          int           // that are remembered for near caches

	exit      func()                        // ends the process; may never return
	transport func(id string) peerTransport // between the replicas of a test
	members   []raft.Server                 // that each of them begins with
}

// The limits of one entry of the log or call to the leader, of how many are on their way at once, and of what waits to get into one. The last
// command may go beyond maxFlightBytes.
const (
	maxFlightBytes    = 1 << 20
	maxFlightCommands = 4096
	maxEntries        = 2 // while the disk syncs one, the other fills
	maxCalls          = 2
	maxWaitingBytes   = 64 << 20
)

// Decision 9 of the design: an election must end well within the staleness bound, and one that begins for no reason costs availability.
// A voter without peers waits for one timeout before it leads, so this is also how long a start takes at most twice.
const defaultElection = 250 * time.Millisecond

// defaultCommit is how long after its last message Raft sends a follower an empty one: once to twice this. The herald tells of commits
// before, so it is for what got lost, and also how soon Raft tries again after a failure.
const defaultCommit = 50 * time.Millisecond

// leastElections is how many election timeouts the staleness bound has to be at least. An election takes up to two, and a proof is up to
// an eighth of the bound old when it begins.
const leastElections = 4

var nodeIDs = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Validate returns every fault of the options.
func (o Options) Validate() error {
	var faults []error
	if o.DataDir == "" {
		faults = append(faults, errors.New("DataDir is empty: name a directory"))
	}
	if o.NodeID != "" && !nodeIDs.MatchString(o.NodeID) {
		faults = append(faults, fmt.Errorf("NodeID %q isn't 1 to 64 letters, digits, dots, hyphens and underscores", o.NodeID))
	}
	if least := leastElections * cmp.Or(o.tuning.election, defaultElection); o.MaxStaleness != 0 &&
		(o.MaxStaleness < least || o.MaxStaleness > time.Hour) {
		faults = append(faults, fmt.Errorf("MaxStaleness %s isn't between %s and 1h: an election may take half the least", o.MaxStaleness,
			least))
	}
	if o.DiskStall != 0 && o.DiskStall < time.Second {
		faults = append(faults, fmt.Errorf("DiskStall %s is under 1s: disks take that long now and then", o.DiskStall))
	}
	faults = append(faults, o.formingFaults()...)
	if o.MaxWaiting < 0 {
		faults = append(faults, fmt.Errorf("MaxWaiting %d is negative", o.MaxWaiting))
	}
	return errors.Join(faults...)
}

// formingFaults returns what is wrong about how a cluster is to be formed.
func (o Options) formingFaults() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if o.isolated() && (o.BootstrapExpect > 1 || len(o.Join) > 0 || o.Learner) {
		fault("without Wire no other replica can be reached: set it, or leave BootstrapExpect, Join and Learner out")
	}
	if o.Wire != nil && o.Peers == nil {
		fault("Wire is set, and Peers isn't")
	}
	if slices.Contains(o.Join, "") {
		fault("Join has an empty address")
	}
	switch {
	case o.BootstrapExpect < 0:
		fault("BootstrapExpect %d is negative", o.BootstrapExpect)
	case o.BootstrapExpect == 1 && len(o.Join) > 0:
		fault("BootstrapExpect 1 founds a cluster of this replica alone, and Join names others: leave one of them out, or set BootstrapExpect to " +
			"how many found it together")
	case len(o.Join) > 0 && len(o.Join) < o.BootstrapExpect-1 && !o.Learner:
		fault("Join names %d addresses, too few to find the others of %d replicas that are expected: name all", len(o.Join), o.BootstrapExpect)
	}
	return faults
}

// isolated says whether no other replica can be reached.
func (o Options) isolated() bool { return o.Wire == nil && o.tuning.transport == nil }

// withDefaults returns the options with everything set.
func (o Options) withDefaults() Options {
	setDefault(&o.PseudonymKeyFile, filepath.Join(o.DataDir, keyFile))
	setDefault(&o.MinFreeBytes, 256<<20)
	setDefault(&o.DiskStall, 20*time.Second)
	setDefault(&o.MaxWaiting, 16_384)
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
	setDefault(&o.FS, vfs.Default)
	if o.Peers == nil {
		o.Peers = nobody{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.tuning.exit == nil {
		o.tuning.exit = exitProcess
	}
	setDefault(&o.tuning.election, defaultElection)
	setDefault(&o.tuning.commit, defaultCommit)
	// Followers that were away for less catch up from the log. Entries are up to 1 MiB long, so this is also what the disk has to hold.
	setDefault(&o.tuning.trailingLogs, 1024)
	// A snapshot is a marker and costs one sync of the ledger, so they may be frequent: a start reads the log from the last one on.
	setDefault(&o.tuning.snapshotInterval, 15*time.Second)
	setDefault(&o.tuning.snapshotEntries, 1024)
	setDefault(&o.tuning.discovery, 100*time.Millisecond)
	setDefault(&o.tuning.place, time.Second)
	setDefault(&o.tuning.inspection, time.Second)
	return o
}

func setDefault[T comparable](field *T, value T) {
	var unset T
	if *field == unset {
		*field = value
	}
}
