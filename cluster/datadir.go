package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

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

const checksumName = "checksum: "

// formatTitle begins FORMAT, followed by the format's number.
const (
	formatTitle = "consentd data directory, format "
	format      = "2"
)

// dataDir is an open data directory. Nobody else has it open.
type dataDir struct {
	fs     vfs.FS
	path   string
	lock   io.Closer
	nodeID string

	mu     sync.Mutex // held while the bond is written
	bond   bond
	failed error // the first write of a bond that failed
}

// openDataDir opens or makes a data directory. An empty nodeID takes the one recorded, or a random one for a new directory.
func openDataDir(fs vfs.FS, path, nodeID string) (*dataDir, error) {
	if err := makeDir(fs, path); err != nil {
		return nil, fmt.Errorf("%w: making it: %w", ErrDataDir, err)
	}
	lock, err := fs.Lock(fs.PathJoin(path, lockFile))
	var unopened *os.PathError
	switch {
	case errors.As(err, &unopened):
		return nil, dataDirError(err)
	case err != nil:
		return nil, fmt.Errorf("%w: %s is locked (%w): stop the other consentd that runs on it, or choose another directory", ErrDataDir,
			path, err)
	}
	d := &dataDir{fs: fs, path: path, lock: lock, bond: bond{state: stateNew}}
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
		return d.save(d.bond)
	default:
		return dataDirError(err)
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
		if name == logDir || name == ledgerDir || name == snapshotsDir {
			return dataDirError(fmt.Errorf("%s is gone, and %s is there: put it back if you have moved it; if it is lost, this directory is too",
				d.join(formatFile), d.join(name)))
		}
		if !slices.Contains(ours, name) {
			return fmt.Errorf("%w: %s holds %q but no %s, so it isn't consentd's: choose an empty directory", ErrDataDir, d.path, name,
				formatFile)
		}
	}
	return nil
}

// standing returns what the replica is bound to.
func (d *dataDir) standing() bond {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bond
}

// bind binds a new replica to a cluster, and returns once that is durable. A founder is named while the cluster isn't founded yet. Where
// the replica is bound so already, there is nothing to do; otherwise an error says to what it is.
func (d *dataDir) bind(clusterID, founder string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.bond.state == stateNew:
		return d.change(bond{state: stateJoining, clusterID: clusterID, founder: founder})
	case d.bond == (bond{state: stateJoining, clusterID: clusterID, founder: founder}):
		return nil
	default:
		return &boundError{d.nodeID, d.bond}
	}
}

// becomeMember records, before it returns, that this replica is about to acknowledge something.
func (d *dataDir) becomeMember() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bond.state == stateMember {
		return nil
	}
	return d.change(bond{state: stateMember, clusterID: d.bond.clusterID})
}

// change makes a bond durable, and only then known. After a failure, it returns that for ever: what is on the disk isn't known then, and
// a sync that succeeds the second time proves nothing.
func (d *dataDir) change(to bond) error {
	if d.failed == nil {
		d.failed = d.save(to)
	}
	if d.failed == nil {
		d.bond = to
	}
	return d.failed
}

func (d *dataDir) save(b bond) error {
	marker := fmt.Sprintf("%s%s\nnode: %s\n%s", formatTitle, format, d.nodeID, b.lines())
	marker += checksumLine(marker)
	if err := writeDurably(d.fs, d.path, formatFile, []byte(marker)); err != nil {
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	return nil
}

func (d *dataDir) parse(marker string) error {
	title, rest, _ := strings.Cut(marker, "\n")
	number, titled := strings.CutPrefix(title, formatTitle)
	if _, err := strconv.ParseUint(number, 10, 16); titled && err == nil && number != format {
		return fmt.Errorf("%w: %s says format %s, and this version of consentd knows format %s: run the version that wrote it", ErrDataDir,
			d.join(formatFile), number, format)
	}
	at := strings.Index(marker, checksumName)
	whole := at > len(title) && marker[at:] == checksumLine(marker[:at])
	node, lines, _ := strings.Cut(strings.TrimSuffix(rest, marker[max(at, 0):]), "\n")
	node, named := strings.CutPrefix(node, "node: ")
	bond, ok := parseBond(lines)
	if number != format || !whole || !named || !ok || !nodeIDs.MatchString(node) {
		return dataDirError(fmt.Errorf("%s is damaged", d.join(formatFile)))
	}
	d.nodeID, d.bond = node, bond
	return nil
}

// checksumLine ends the marker. A flipped bit in a name would otherwise make a replica of another cluster, which waits for ever.
func checksumLine(marker string) string {
	return fmt.Sprintf("%s%08x\n", checksumName, crc32.Checksum([]byte(marker), castagnoli))
}

func randomNodeID() string {
	var id [6]byte
	rand.Read(id[:])
	return "node-" + hex.EncodeToString(id[:])
}
