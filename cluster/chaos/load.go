package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/google/uuid"
)

// ErrNotDone is returned by a Replica for a write that certainly hasn't happened. After any other error it may have.
var ErrNotDone = errors.New("not done")

// Write is a write of one event.
type Write struct {
	Kind      Kind
	Subject   string
	Reference string // for its evidence
	RequestID consent.RequestID
}

// Question is a check of the one permission.
type Question struct {
	Subject string
	Level   Level
	Asked   consent.Revision // with AtLeast
}

// Reply is an answer to either.
type Reply struct {
	Revision consent.Revision
	Stamp    consent.Time  // of a write
	Allowed  bool          // by a check
	Age      time.Duration // of a check's data
	Upto     uint64        // the highest index that a check can be of, or 0
}

// Checker is how the load calls one that answers checks.
type Checker interface {
	Check(ctx context.Context, q Question) (Reply, error)
}

// Replica is how the load calls one, be it running or not.
type Replica interface {
	Checker
	Write(ctx context.Context, w Write) (Reply, error)
}

// Load is callers that write and check on all replicas, and write down every call.
type Load struct {
	Replicas  map[string]Replica
	Near      map[string]Checker // near caches, of which checks are asked as well
	Subjects  []string
	Writers   int
	Checkers  int
	Pause     time.Duration // between two calls of a caller, on average
	WriteWait time.Duration // for an answer
	CheckWait time.Duration
	Seed      uint64
	Recorder  *Recorder

	mu    sync.Mutex // guards the maps, names and near while it runs
	names []string
	near  []string
	// Faults are over once it is done; then what is unknown of writes is found out.
	calm context.Context
}

// giveUpOne in so many writes of unknown outcome isn't repeated. Nobody ever learns what became of it.
const giveUpOne = 5

// Run calls until the context ends, and then repeats writes of unknown outcome until calm ends. It returns when all callers are done.
func (l *Load) Run(ctx, calm context.Context) {
	l.prepare(calm)
	var callers sync.WaitGroup
	for i := range l.Writers {
		c := l.caller(i, 'w')
		callers.Go(func() { c.repeat(ctx, c.write) })
	}
	for i := range l.Checkers {
		c := l.caller(i, 'c')
		callers.Go(func() { c.repeat(ctx, c.check) })
	}
	callers.Wait()
}

func (l *Load) prepare(calm context.Context) {
	l.names, l.near, l.calm = slices.Sorted(maps.Keys(l.Replicas)), slices.Sorted(maps.Keys(l.Near)), calm
}

// Add has the callers call one more replica.
func (l *Load) Add(name string, r Replica) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Replicas[name] = r
	l.names = append(l.names, name)
}

// Replace has the callers ask one near cache instead of another.
func (l *Load) Replace(old, name string, c Checker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.Near, old)
	l.Near[name] = c
	l.near = slices.Sorted(maps.Keys(l.Near))
}

// caller is one of those that call, with dice of its own.
type caller struct {
	*Load
	name   string
	dice   *rand.Rand
	writes int
}

func (l *Load) caller(number int, kind byte) *caller {
	return &caller{
		Load: l, name: fmt.Sprintf("%c%d", kind, number), dice: rand.New(rand.NewPCG(l.Seed, uint64(number)<<8|uint64(kind))),
	}
}

// repeat calls again and again, with pauses, until the context ends.
func (c *caller) repeat(ctx context.Context, call func(context.Context)) {
	for ctx.Err() == nil {
		call(ctx)
		pause := time.NewTimer(time.Duration(c.dice.ExpFloat64() * float64(c.Pause)))
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

func (c *caller) anyReplica() (name string, r Replica) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name = c.names[c.dice.IntN(len(c.names))]
	return name, c.Replicas[name]
}

// anyChecker returns any of those that answer checks: a near cache half of the time, if there are any.
func (c *caller) anyChecker() (name string, r Checker) {
	c.mu.Lock()
	near := len(c.near) > 0 && c.dice.IntN(2) == 0
	if near {
		name = c.near[c.dice.IntN(len(c.near))]
		r = c.Near[name]
	}
	c.mu.Unlock()
	if near {
		return name, r
	}
	return c.anyReplica()
}

func (c *caller) isNear(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Near[name] != nil
}

func (c *caller) anySubject() string { return c.Subjects[c.dice.IntN(len(c.Subjects))] }

// write writes an event, and repeats it at one replica after the other until it is known what came of it, or it gives up.
func (c *caller) write(context.Context) {
	id, err := uuid.NewV7()
	if err != nil {
		panic(fmt.Errorf("no random numbers for a request id: %w", err))
	}
	w := Write{Kind: Grant, Subject: c.anySubject(), Reference: fmt.Sprintf("%s-%d", c.name, c.writes), RequestID: consent.RequestID(id)}
	c.writes++
	if c.dice.IntN(2) == 0 {
		w.Kind = Withdraw
	}
	o := Op{Kind: w.Kind, Subject: w.Subject, Reference: w.Reference, Call: c.Recorder.Now(), Outcome: NotDone}
	for {
		var replica Replica
		o.Replica, replica = c.anyReplica()
		// A write goes on when the faults are over, for it may be done already.
		ctx, cancel := context.WithTimeout(context.Background(), c.WriteWait)
		reply, err := replica.Write(ctx, w)
		cancel()
		o.Return = c.Recorder.Now()
		switch {
		case err == nil:
			o.Outcome, o.Revision, o.Stamp = Done, reply.Revision, reply.Stamp
		case !errors.Is(err, ErrNotDone):
			o.Outcome = Unknown
		}
		// What was unknown once stays so until it is done: a refusal now says nothing of the attempt before.
		if o.Outcome != Unknown || c.dice.IntN(giveUpOne) == 0 || c.calm.Err() != nil {
			break
		}
		c.rest()
	}
	c.Recorder.Add(o)
	if o.Outcome == Done && c.dice.IntN(4) == 0 {
		c.readOwnWrite(o)
	}
}

// rest keeps callers from asking a replica that refuses them in a tight loop.
func (c *caller) rest() {
	pause := time.NewTimer(20 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-c.calm.Done():
	}
}

func (c *caller) readOwnWrite(o Op) {
	c.ask(Question{Subject: o.Subject, Level: AtLeast, Asked: o.Revision})
}

// check asks for a consent, in any of the ways.
func (c *caller) check(context.Context) {
	q := Question{Subject: c.anySubject(), Level: Level(c.dice.IntN(3))}
	if q.Level == AtLeast {
		q.Asked = c.Recorder.Newest()
	}
	c.ask(q)
}

func (c *caller) ask(q Question) {
	name, checker := c.anyChecker()
	ctx, cancel := context.WithTimeout(context.Background(), c.CheckWait)
	defer cancel()
	call := c.Recorder.Now()
	reply, err := checker.Check(ctx, q)
	if err != nil {
		c.Recorder.Refuse(err)
		return // no answer promises nothing
	}
	c.Recorder.Add(Op{
		Kind: Check, Replica: name, Near: c.isNear(name), Subject: q.Subject, Call: call, Return: c.Recorder.Now(), Level: q.Level, Asked: q.Asked,
		Allowed: reply.Allowed, Age: reply.Age, Revision: reply.Revision, Upto: reply.Upto,
	})
}
