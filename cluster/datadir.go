package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What lies in a data directory.
const (
	formatFile   = "FORMAT"
	lockFile     = "LOCK"
	ballastFile  = "ballast"
	keyFile      = "pseudonym.key"
	logDir       = "log"
	ledgerDir    = "ledger"
	snapshotsDir = "snapshots"
)

const formatTitle = "consentd data directory, format 1"

// dataDir is an open data directory. Nobody else has it open.
type dataDir struct {
	fs     vfs.FS
	path   string
	lock   io.Closer
	nodeID string
	// member is false until the replica was bootstrapped. A first start that a crash cut short goes on where it was; a member whose log is
	// empty has lost it, and must not vote under its old name.
	member bool
}

// openDataDir opens or makes a data directory. An empty nodeID takes the one recorded, or a random one for a new directory.
func openDataDir(fs vfs.FS, path, nodeID string) (*dataDir, error) {
	if err := makeDir(fs, path); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	lock, err := fs.Lock(fs.PathJoin(path, lockFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %s is locked (%w): stop the other consentd that runs on it, or choose another directory", ErrDataDir,
			path, err)
	}
	d := &dataDir{fs: fs, path: path, lock: lock}
	if err := d.load(nodeID); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// Close lets others have the directory.
func (d *dataDir) Close() error { return d.lock.Close() }

// join returns the path of something in the directory.
func (d *dataDir) join(name string) string { return d.fs.PathJoin(d.path, name) }

// load reads the marker, and makes it in an empty directory.
func (d *dataDir) load(nodeID string) error {
	marker, err := readFile(d.fs, d.join(formatFile))
	switch {
	case err == nil:
		if err := d.parse(string(marker)); err != nil {
			return err
		}
	case errors.Is(err, os.ErrNotExist):
		if err := d.claim(); err != nil {
			return err
		}
		if nodeID == "" {
			nodeID = randomNodeID()
		}
		d.nodeID = nodeID
		return d.save()
	default:
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	if nodeID != "" && nodeID != d.nodeID {
		return fmt.Errorf("%w: %s is that of node %q, not of %q: leave the node id out, or choose another directory", ErrDataDir, d.path,
			d.nodeID, nodeID)
	}
	return nil
}

// claim returns an error unless the directory is empty. Files that others may put there beforehand are passed over.
func (d *dataDir) claim() error {
	names, err := d.fs.List(d.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	ours := []string{lockFile, formatFile + temporarySuffix, keyFile, "lost+found"}
	for _, name := range names {
		if !slices.Contains(ours, name) {
			return fmt.Errorf("%w: %s holds %q but no %s, so it isn't consentd's: choose an empty directory", ErrDataDir, d.path, name,
				formatFile)
		}
	}
	return nil
}

// becomeMember records that the replica was bootstrapped.
func (d *dataDir) becomeMember() error {
	d.member = true
	return d.save()
}

func (d *dataDir) save() error {
	state := "new"
	if d.member {
		state = "member"
	}
	marker := fmt.Sprintf("%s\nnode: %s\nstate: %s\n", formatTitle, d.nodeID, state)
	if err := writeDurably(d.fs, d.path, formatFile, []byte(marker)); err != nil {
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	return nil
}

func (d *dataDir) parse(marker string) error {
	lines := strings.Split(marker, "\n")
	if lines[0] != formatTitle {
		return fmt.Errorf("%w: %s begins with %q, and this version of consentd knows %q: run the version that wrote it", ErrDataDir,
			d.join(formatFile), lines[0], formatTitle)
	}
	if len(lines) == 4 && lines[3] == "" {
		node, hasNode := strings.CutPrefix(lines[1], "node: ")
		state, hasState := strings.CutPrefix(lines[2], "state: ")
		if hasNode && hasState && node != "" && (state == "new" || state == "member") {
			d.nodeID, d.member = node, state == "member"
			return nil
		}
	}
	return fmt.Errorf("%w: %s is damaged: restore this replica from another one or from a backup", ErrDataDir, d.join(formatFile))
}

func randomNodeID() string {
	var id [6]byte
	rand.Read(id[:])
	return "node-" + hex.EncodeToString(id[:])
}
