package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskSpace refuses writes before the disk is full. A database that meets a full disk can't even tidy up; this one can still be read, and
// goes on by itself once there is space.
//
// The ballast is a file that only takes up space. It is given up when the disk fills all the same, by others or by what was on its way, so
// that what tidies up has room, or the next start if the process has ended by then; and taken again when there is enough.
type diskSpace struct {
	fs      vfs.FS
	dir     string
	floor   uint64 // bytes that have to be free
	ballast uint64 // bytes of the ballast
	log     *slog.Logger
	full    atomic.Bool
	free    atomic.Int64 // when it was looked at last; -1 while it wasn't
	held    bool         // the ballast is there
}

const (
	spaceInterval = time.Second
	ballastShare  = 4 // the ballast is this part of the floor
)

// openDiskSpace looks at the disk for the first time. A negative floor is none.
func openDiskSpace(dir *dataDir, floor int64, log *slog.Logger) (*diskSpace, error) {
	d := &diskSpace{fs: dir.fs, dir: dir.path, floor: uint64(max(floor, 0)), log: log}
	d.ballast = d.floor / ballastShare
	d.free.Store(-1)
	_, err := d.fs.Stat(d.path())
	d.held = err == nil
	if err := d.check(); err != nil {
		return nil, err
	}
	return d, nil
}

// run looks at the disk now and then, until stop is closed.
func (d *diskSpace) run(stop <-chan struct{}) {
	tick := time.NewTicker(spaceInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := d.check(); err != nil {
				d.log.Error("can't tell how full the disk is", "error", err)
			}
		case <-stop:
			return
		}
	}
}

// check compares what is free with the floor.
func (d *diskSpace) check() error {
	if d.floor == 0 {
		return nil
	}
	usage, err := d.fs.GetDiskUsage(d.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("asking how full the disk of %s is: %w", d.dir, err)
	}
	free := usage.AvailBytes
	d.free.Store(int64(min(free, math.MaxInt64)))
	switch full := free < d.floor; {
	case d.full.Swap(full) == full:
	case full:
		d.log.Error("the disk is nearly full, so nothing is written until there is space", "free", free, "needed", d.floor)
	default:
		d.log.Info("there is space again, and writes go on", "free", free)
	}
	return d.weigh(free)
}

// weigh gives up the ballast, or takes it.
func (d *diskSpace) weigh(free uint64) error {
	switch {
	case d.held && free < d.ballast:
		if err := d.fs.Remove(d.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing the ballast file: %w", err) // it is tried again
		}
		d.held = false
		d.log.Warn("gave up the ballast file so that the databases can tidy up", "bytes", d.ballast)
	case !d.held && free >= d.floor+d.ballast:
		if err := d.take(); err != nil {
			return fmt.Errorf("making the ballast file: %w", err)
		}
		d.held = true
	}
	return nil
}

// take makes the ballast. Where the file system can't reserve space (other than Linux's), the file stays empty and only the floor counts.
func (d *diskSpace) take() error {
	f, err := d.fs.Create(d.path(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(f.Preallocate(0, int64(d.ballast)), f.Sync(), f.Close())
}

func (d *diskSpace) path() string { return d.fs.PathJoin(d.dir, ballastFile) }

// watchDisk returns a file system that reports operations which hang. Raft never notices that its disk does: a leader would keep its
// leadership and acknowledge nothing (hashicorp/raft issue 503).
func watchDisk(fs vfs.FS, stall time.Duration, report func(error)) (watched vfs.FS, stop func() error) {
	watched, closer := vfs.WithDiskHealthChecks(fs, stall, nil, func(slow vfs.DiskSlowInfo) {
		report(fmt.Errorf("the disk hangs: %s of %s takes %s already", slow.OpType, slow.Path, slow.Duration.Round(time.Second)))
	})
	return watched, closer.Close
}
