package client

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
)

const (
	// maxUnanswered is how many bytes of questions a lane may have on their way. It is what HTTP/2 lets a client send before the other end has
	// read any of it, so that sending never waits, whatever the replica does: nothing could call a sender off.
	maxUnanswered  = 64<<10 - 1
	maxConsistency = 32 // bytes that a revision takes with its frames, which a question may get on its lane
	maxTogether    = 24 // questions that a message carries: with fewer than callers ask, both ends work at the same time
)

var (
	errRetired = errors.New("the lane takes no more calls")
	errCrowded = errors.New("the lane has too many questions on their way")
)

// lane is one stream of checks that many callers share.
//
// A unary call costs both ends the life of a stream: headers, a goroutine, half a dozen wake-ups. A message on a stream still costs
// both ends several times what a check does. So what is left to save is messages, and waking goroutines:
//
//   - The caller who finds nobody sending sends: its own question, and with it in one message those that others have put in the queue. It
//     lets the others run once before it looks, because callers are woken by twos and dozens, by the answers of one message. A lone caller
//     pays next to nothing for that. No lock is held while it sends, and once its own answer is there, a goroutine takes over.
//   - One goroutine receives, and wakes each caller by a channel of its own. The answers of one message wake their callers together, whose
//     next questions then go together too.
//   - Calls are pooled, and kept in a table that their ids index: the lower half of an id is the place, the upper half counts, so that an
//     answer that comes twice, or too late, finds nobody.
//
// What a caller gives up stays in the table until it is answered, and the answer is thrown away. A lane that breaks ends all of its calls with
// ErrUnreachable, and each is asked again on another. A lane that owes answers and gives none for twice the staleness bound is broken as well:
// its replica may be cut off, and nothing else would tell for long. A question may rightly wait for newer state, and then for a record, each
// no longer than the bound.
type lane struct {
	stream consentv1.PermissionService_StreamCheckClient
	cancel context.CancelFunc
	shared *lanes

	mu         sync.Mutex
	table      []*call  // by place
	places     []uint32 // that are free
	counter    uint32
	queue      []*call // to be sent
	sending    bool
	unanswered int              // bytes
	heard      uint64           // messages
	retired    bool             // takes no more calls
	reached    consent.Revision // by what answers
	listening  *time.Timer      // nil while nothing is owed

	// The sender's own, of which there is one at a time.
	outgoing wire.Questions
	names    []string // of the permissions in it

	// The receiver's own.
	incoming wire.Answers
	answered []*call // by the last message
	token    string  // of the last reply
	last     consent.Revision
}

// ask puts a call into the queue, and sends what is in it if nobody does. It returns errRetired or errCrowded for a call that it doesn't take.
func (l *lane) ask(c *call, demand consent.Consistency) error {
	send, err := l.put(c, demand)
	if send {
		l.send(c)
	}
	return err
}

func (l *lane) put(c *call, demand consent.Consistency) (send bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.retired:
		return false, errRetired
	case l.unanswered+c.size > maxUnanswered:
		return false, errCrowded
	}
	if !includes(l.reached, demand.AtLeast) { // a replica that has reached it has it still
		c.question.Consistency = consistencyOf(demand)
	}
	l.seat(c)
	l.queue = append(l.queue, c)
	if l.listening == nil {
		l.listen()
	}
	send = !l.sending
	l.sending = true
	return send, nil
}

// includes reports whether a state includes a revision. All do the zero one.
func includes(reached, r consent.Revision) bool {
	return r == consent.Revision{} || reached.Epoch == r.Epoch && reached.Index >= r.Index
}

// seat gives a call its place and id.
func (l *lane) seat(c *call) {
	place := uint32(len(l.table))
	if n := len(l.places); n > 0 {
		place, l.places = l.places[n-1], l.places[:n-1]
		l.table[place] = c
	} else {
		l.table = append(l.table, c)
	}
	l.counter++
	c.id = uint64(l.counter)<<32 | uint64(place)
	l.unanswered += c.size
}

// send sends what is queued until nothing is, or own, if there is one, is answered: then a goroutine goes on.
func (l *lane) send(own *call) {
	for {
		runtime.Gosched()
		if !l.take() {
			return
		}
		_ = l.stream.SendMsg(&l.outgoing) // the receiver hears of whatever breaks the stream
		if own != nil && len(own.done) > 0 {
			l.shared.spawn(func() { l.send(nil) })
			return
		}
	}
}

// take makes a message of the first of the queue, and reports whether there was any. When nothing is queued, nobody sends any more.
func (l *lane) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outgoing.List, l.names = l.outgoing.List[:0], l.names[:0]
	n := min(len(l.queue), maxTogether)
	for _, c := range l.queue[:n] {
		l.pack(c)
	}
	left := copy(l.queue, l.queue[n:])
	clear(l.queue[left:])
	l.queue = l.queue[:left]
	l.sending = n > 0
	return l.sending
}

// pack copies a call's question into the message.
func (l *lane) pack(c *call) {
	first := len(l.names)
	l.names = append(l.names, c.question.Permissions...)
	asked := wire.Asked{ID: c.id, Check: c.question}
	asked.Check.Permissions = l.names[first:len(l.names):len(l.names)]
	l.outgoing.List = append(l.outgoing.List, asked)
	c.taken = true
}

// receive hands out answers until the stream ends, and returns why it did.
func (l *lane) receive() error {
	for {
		if err := l.stream.RecvMsg(&l.incoming); err != nil {
			return err
		}
		l.deliver()
	}
}

// deliver gives each answer of a message to its call.
func (l *lane) deliver() {
	l.answered = l.answered[:0]
	l.mu.Lock()
	l.heard++
	for i := range l.incoming.List {
		l.rise(&l.incoming.List[i])
	}
	done := l.retired && l.unanswered == 0
	l.mu.Unlock()
	for _, c := range l.answered {
		c.done <- struct{}{}
	}
	clear(l.answered)
	if done {
		l.cancel()
	}
}

// rise takes the call of an answer from its place, if it is there still and was sent, and gives it the answer.
func (l *lane) rise(answer *wire.Answer) {
	place := uint32(answer.ID) //nolint:gosec // the lower half
	if int(place) >= len(l.table) {
		return
	}
	c := l.table[place]
	if c == nil || c.id != answer.ID || !c.taken {
		return
	}
	l.table[place] = nil
	l.places = append(l.places, place)
	l.unanswered -= c.size
	if answer.Status == nil {
		c.reply = replyOf(&answer.Check, l.revisionOf(answer.Check.Revision))
	} else {
		c.err = itemError(answer.Status)
		l.retired = l.retired || isElsewhere(c.err) && l.shared.mayMove()
	}
	l.answered = append(l.answered, c)
}

// revisionOf returns the revision of a reply, and notes that it is reached. When the epoch changes, the lane is over: what was reached before
// means nothing now.
func (l *lane) revisionOf(token string) consent.Revision {
	if token == l.token {
		return l.last
	}
	r, err := consent.ParseRevision(token)
	if err != nil {
		return consent.Revision{}
	}
	l.token, l.last = strings.Clone(token), r
	switch {
	case l.reached.Epoch == r.Epoch:
		l.reached.Index = max(l.reached.Index, r.Index)
	case l.reached == consent.Revision{}:
		l.reached = r
	default:
		l.retired = true
	}
	return r
}

// retire takes no more calls. The stream ends with the last answer that it owes.
func (l *lane) retire() {
	l.mu.Lock()
	l.retired = true
	done := l.unanswered == 0
	l.mu.Unlock()
	if done {
		l.cancel()
	}
}

// end ends all calls that are left with an error.
func (l *lane) end(err error) {
	l.mu.Lock()
	l.retired = true
	left := l.table
	l.table, l.places, l.unanswered = nil, nil, 0
	if l.listening != nil {
		l.listening.Stop()
	}
	l.mu.Unlock()
	for _, c := range left {
		if c != nil {
			c.err = err
			c.done <- struct{}{}
		}
	}
}

// listen looks again after a while whether anything was heard.
func (l *lane) listen() {
	heard := l.heard
	l.listening = time.AfterFunc(l.shared.silence(), func() { l.listenAgain(heard) })
}

func (l *lane) listenAgain(heard uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.unanswered == 0:
		l.listening = nil
	case l.heard == heard:
		l.cancel()
	default:
		l.listen()
	}
}
