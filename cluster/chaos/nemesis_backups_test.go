package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/google/uuid"

	"github.com/consentd/consentd/consent"
)

var errNobody = errors.New("nobody runs")

func (r *run) snapshot(*rand.Rand) func() {
	if r.takeSnapshots() {
		r.take()
	}
	return nil
}

// takeSnapshots has all that run take a snapshot and cut their log.
func (r *run) takeSnapshots() (taken bool) {
	for _, o := range r.running() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := o.members.TakeSnapshot(ctx, &consentv1.TakeSnapshotRequest{})
		cancel()
		taken = taken || err == nil
	}
	return taken
}

// pastTheLog is more entries than stay behind a snapshot (tuning.trailingLogs in cluster).
const pastTheLog = 1100

// away keeps a replica down until the others have cut off what it would need of their log, so that it has to get a snapshot.
func (r *run) away(d *rand.Rand) func() {
	whom := r.follower(d)
	if learners := r.learners(); len(learners) > 0 && d.IntN(2) == 0 {
		whom = learners[0]
	}
	if whom == nil || len(r.running()) < 2 {
		return nil
	}
	whom.kill()
	flooded := make(chan uint64, 1)
	through := r.running()
	go func() { flooded <- flood(through, pastTheLog) }()
	return func() {
		if entries := <-flooded; entries < pastTheLog {
			r.t.Logf("%s was away for %d entries only", whom.id, entries)
		} else if r.takeSnapshots() {
			r.behind = append(r.behind, whom)
		}
		r.restart([]*replica{whom})
	}
}

// noiseSubjects are those of a flood.
func noiseSubjects() (subjects []string) {
	for i := range 8 {
		subjects = append(subjects, fmt.Sprintf("noise-%d", i))
	}
	return subjects
}

// flood writes so many entries, of subjects that nobody asks about, and returns how many it has come to.
func flood(through []*replica, entries uint64) uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	var first, newest atomic.Uint64
	var writing sync.WaitGroup
	for i, subject := range noiseSubjects() {
		o := through[i%len(through)]
		writing.Go(func() {
			for ctx.Err() == nil {
				index, err := o.writeNoise(ctx, subject)
				if err != nil {
					<-time.After(10 * time.Millisecond) // it may be down
					continue
				}
				first.CompareAndSwap(0, index)
				if newest.Store(max(index, newest.Load())); index >= first.Load()+entries {
					cancel()
				}
			}
		})
	}
	writing.Wait()
	return newest.Load() - first.Load()
}

func (r *replica) writeNoise(ctx context.Context, subject string) (index uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	id, err := uuid.NewV7()
	if err != nil {
		return 0, err
	}
	reply, err := r.Write(ctx, Write{Kind: Withdraw, Subject: subject, Reference: "noise", RequestID: consent.RequestID(id)})
	return reply.Revision.Index, err
}

// received reports whether a replica has had its state from another one.
func (r *replica) received() bool {
	streams, err := filepath.Glob(filepath.Join(r.dir, "data", "snapshots", "*.state"))
	return err == nil && len(streams) > 0
}

// preparedEvents is how many events were written before the load began.
const preparedEvents = 1

// copied is a backup, and when it was made.
type copied struct {
	file         string
	began, ended time.Duration
	index        uint64
	epoch        uint64
	events       int // of the load
}

// backUp has somebody make a backup, and verifies it.
func (r *run) backUp(d *rand.Rand) (*copied, error) {
	running := r.running()
	if len(running) == 0 {
		return nil, errNobody
	}
	r.copies++
	c := &copied{file: filepath.Join(r.dir, fmt.Sprintf("%d.backup", r.copies)), began: r.load.Recorder.Now()}
	if _, err := tryBinary("cluster", "backup", c.file, "--addr", running[d.IntN(len(running))].api, "--timeout", "3s"); err != nil {
		return nil, err
	}
	c.ended = r.load.Recorder.Now()
	text, err := tryBinary("cluster", "inspect", c.file, "-o", "json")
	if err != nil {
		r.odd.add(fmt.Errorf("a backup that was made can't be read: %w", err))
		return nil, err
	}
	var said struct {
		Index  uint64
		Epoch  string
		Events int
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	c.index, c.events = said.Index, said.Events-preparedEvents
	c.epoch, err = strconv.ParseUint(said.Epoch, 16, 64)
	return c, err
}

// judgeTimes says of each write whether it had to be in the backup, or mustn't be.
func (c *copied) judgeTimes(h *History) error {
	v := &verdict{judge: "backup"}
	for i := range h.Ops {
		o := &h.Ops[i]
		switch {
		case o.Kind == Check || o.Outcome != Done || o.Revision.Epoch != c.epoch:
		case o.Return < c.began && o.Revision.Index > c.index:
			v.fault("%s was acknowledged before a backup was begun at %.6fs, which only reaches to %d", o, c.began.Seconds(), c.index)
		case o.Call > c.ended && o.Revision.Index <= c.index:
			v.fault("%s was written after a backup was whole at %.6fs, which reaches to %d", o, c.ended.Seconds(), c.index)
		}
	}
	return v.err()
}

// judgeEvents counts the events that the backup has to hold, if they can still be told from others.
func (c *copied) judgeEvents(h *History, recorded map[string][]Event) error {
	index := c.index
	switch {
	case c.epoch == h.epoch():
	case h.Restore != nil && h.Restore.Began == c.began:
		index = h.brought()
	default:
		return nil
	}
	count := 0
	for subject, events := range recorded {
		for _, e := range events {
			if subject != PolicySubject && e.Revision.Index <= index {
				count++
			}
		}
	}
	if count != c.events {
		return fmt.Errorf("backup: that at index %d holds %d events, and %d were recorded up to there", c.index, c.events, count)
	}
	return nil
}

// tryBinary runs one command of the binary, which may fail.
func tryBinary(args ...string) (stdout []byte, err error) {
	path, err := binary()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("consentd %v: %w: %s", args, err, failed.Stderr)
	}
	return out, err
}

func (r *run) backup(d *rand.Rand) func() {
	if c, err := r.backUp(d); err == nil {
		r.backups = append(r.backups, c)
		r.take()
	}
	return nil
}

// restore makes a backup, and at the end brings it back, while the load goes on. Once a run is enough.
func (r *run) restore(d *rand.Rand) func() {
	if r.restored != nil {
		return nil
	}
	c, err := r.backUp(d)
	if err != nil || c.events == 0 {
		return nil
	}
	r.backups = append(r.backups, c)
	r.restored, r.brings = &Restore{Began: c.began, Ended: c.ended, Return: Never}, c
	r.restoring, r.restoration = make(chan struct{}), r.step
	r.odd.restored.Store(true)
	return func() {
		running := r.running()
		r.restored.Call = r.load.Recorder.Now()
		go func() {
			defer close(r.restoring)
			if len(running) > 0 {
				r.bringBack(c, running[d.IntN(len(running))])
			}
		}()
	}
}

// bringBack restores a backup. If that fails, what came of it is seen in the end.
func (r *run) bringBack(c *copied, at *replica) {
	text, err := tryBinary("cluster", "restore", c.file, "--replace", "--addr", at.api, "-o", "json")
	if err != nil {
		return
	}
	var said struct{ Revision string }
	if err := json.Unmarshal(text, &said); err != nil {
		r.odd.add(err)
		return
	}
	reply, err := revisionOf(said.Revision)
	if err != nil {
		r.odd.add(err)
		return
	}
	r.restored.Return, r.restored.Revision = r.load.Recorder.Now(), reply.Revision
}
