package cluster

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pipeline is a raft.AppendPipeline that tells of its requests and answers, and goes on when nobody takes its answers any more.
//
// Raft stops taking answers at the first refusal, as from a replica that knows a newer term, and then tells its sender to end. The sender
// may be in AppendEntries by then, which waits until an answer before it is taken: for ever, and that replica is sent nothing more, nor
// does Raft shut down. So there is room for answers here, for more than the sender sends before it is told.
type pipeline struct {
	raft.AppendPipeline
	sending  func(*raft.AppendEntriesRequest)
	answered func(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse)
	answers  chan raft.AppendFuture
	shut     chan struct{}
	once     sync.Once
}

const untakenAnswers = 64

func newPipeline(inner raft.AppendPipeline, sending func(*raft.AppendEntriesRequest),
	answered func(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse)) *pipeline {
	p := &pipeline{
		AppendPipeline: inner, sending: sending, answered: answered, answers: make(chan raft.AppendFuture, untakenAnswers),
		shut: make(chan struct{}),
	}
	go p.pass()
	return p
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(request *raft.AppendEntriesRequest, response *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	p.sending(request)
	return p.AppendPipeline.AppendEntries(request, response)
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.shut) })
	return p.AppendPipeline.Close()
}

// pass passes answers on until Close.
func (p *pipeline) pass() {
	for {
		select {
		case answer := <-p.AppendPipeline.Consumer():
			p.answered(answer.Request(), answer.Response())
			select {
			case p.answers <- answer:
			case <-p.shut:
				return
			}
		case <-p.shut:
			return
		}
	}
}
