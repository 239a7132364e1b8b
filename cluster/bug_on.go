//go:build consentd_bugs

package cluster

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// bug reports whether a deliberate bug is on: the one that CONSENTD_BUG names.
func bug(name string) bool { return os.Getenv("CONSENTD_BUG") == name }

var early sync.Mutex // held from stamping an entry to handing it to Raft

// acknowledgeEarly proposes a command, and promises its outcome once the leader alone has begun to write it.
func (n *Node) acknowledgeEarly(ctx context.Context, command store.Command) (store.Result, error) {
	early.Lock()
	n.clock.pace()
	stamp, err := n.clock.next()
	if err != nil {
		early.Unlock()
		return store.Result{}, notWritten(err)
	}
	future := n.raft.Apply(store.EncodeEntry(stamp, []store.Command{command}), 0)
	early.Unlock()
	for ; future.Index() == 0 && ctx.Err() == nil; <-time.After(time.Millisecond) {
	}
	if future.Index() == 0 {
		return store.Result{}, unknown(ctx.Err())
	}
	return store.Result{
		Revision: consent.Revision{Epoch: n.store.Head().Revision.Epoch, Index: future.Index()}, Stamp: stamp,
		Effects: []consent.Effect{consent.Applied},
	}, nil
}
