package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// BackUp writes a backup of all that the cluster holds, as new as the call: a round that began after it has proven that every write
// acknowledged before is in it. Writes and checks go on meanwhile. Where none proves it within the staleness bound, or 10 s, as without
// a majority, it is consent.ErrStale, and consent.ErrNoLeader too if nobody leads. An error of the writer ends it.
func (n *Node) BackUp(ctx context.Context, w io.Writer) (err error) {
	if err := n.running(); err != nil {
		return err
	}
	madeAt := n.options.Now() // before the round, so that it promises no more than is in it
	if err := n.proveSoon(ctx); err != nil {
		return err
	}
	snapshot, err := n.store.Snapshot()
	if err != nil {
		return fmt.Errorf("taking a backup: %w", err)
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	clusterID := n.dir.standing().clusterID
	head := &backupHead{
		madeAt: madeAt, epoch: snapshot.Epoch(), index: snapshot.Index(), keyCheck: n.door.CheckValue(), clusterID: clusterID,
	}
	if _, err := w.Write(head.encode()); err != nil {
		return err
	}
	_, err = snapshot.WriteTo(&untilDone{ctx, w})
	return err
}

// proveSoon waits for a proof no longer than a write would for its leader: the caller's deadline is for the whole backup.
func (n *Node) proveSoon(ctx context.Context) error {
	ctx, cancelWait := context.WithTimeout(ctx, min(n.bound(), writeWait))
	defer cancelWait()
	ctx, cancel := answerable(ctx, writeWait)
	defer cancel()
	return n.fresh.prove(ctx)
}

// untilDone writes until a context ends.
type untilDone struct {
	ctx context.Context
	to  io.Writer
}

// Write implements io.Writer.
func (w *untilDone) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.to.Write(p)
}
