package cluster

import (
	"errors"
	"fmt"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// proposer packs waiting commands into entries of the Raft log. An entry costs a sync of the disk on every replica.
type proposer struct {
	*packer[store.Result]
	apply func(entry []byte) raft.ApplyFuture
	clock *stamper
}

func newProposer(apply func([]byte) raft.ApplyFuture, clock *stamper, maxWaiting int) *proposer {
	p := &proposer{packer: newPacker[store.Result](maxWaiting, maxEntries), apply: apply, clock: clock}
	p.launch, p.pace = p.propose, clock.pace
	return p
}

// propose hands an entry to Raft. Without a stamp there is no entry.
func (p *proposer) propose(flight []*parcel[store.Result]) (land func()) {
	stamp, err := p.clock.next()
	if err != nil {
		return func() { answerAll(flight, notWritten(err)) }
	}
	future := p.apply(store.EntryOf(stamp, contents(flight)))
	return func() {
		results, err := resultsOf(future, len(flight))
		if err != nil {
			answerAll(flight, err)
			return
		}
		for i, w := range flight {
			w.answer(results[i], results[i].Err)
		}
	}
}

// resultsOf waits for an entry to be applied, and returns the results of its commands.
func resultsOf(future raft.ApplyFuture, commands int) ([]store.Result, error) {
	if err := future.Error(); err != nil {
		return nil, raftError(err)
	}
	switch answer := future.Response().(type) {
	case []store.Result:
		if len(answer) == commands {
			return answer, nil
		}
		return nil, unknown(fmt.Errorf("%d results for %d commands", len(answer), commands))
	case error: // it is in the log, but this replica stopped before applying it
		return nil, unknown(answer)
	default:
		return nil, unknown(fmt.Errorf("the state machine answered %T", answer))
	}
}

// raftError returns what an error of Raft's means for a command.
func raftError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return notWritten(ErrNotLeading)
	case bug("call lost leadership not written"):
		return notWritten(err)
	case errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return notWritten(err)
	default: // above all ErrLeadershipLost and ErrRaftShutdown: another leader may or may not have it
		return unknown(err)
	}
}

func notWritten(cause error) error { return fmt.Errorf("%w (%w)", consent.ErrNotWritten, cause) }

func unknown(cause error) error { return fmt.Errorf("%w (%w)", consent.ErrOutcomeUnknown, cause) }
