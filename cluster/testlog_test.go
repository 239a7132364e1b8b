package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// randomLog makes entries of all that a log can hold, right and wrong. It knows of the state only what a leader does.
type randomLog struct {
	dice    *rand.Rand
	stamp   consent.Time
	ids     uint64
	terms   uint64
	past    []store.Command // proposed before, to be repeated
	restore []store.RestoreCommand
	late    []store.RestoreCommand // first pieces of restores that are over
}

const (
	randomLogBegins consent.Time = 1_800_000_000_000
	aDay            consent.Time = 24 * 60 * 60 * 1000
)

// entry returns the next entry, for a state stamped with a time, whose backup may be restored.
func (l *randomLog) entry(newest consent.Time, backup func() []byte) []byte {
	l.stamp = max(newest, randomLogBegins) + l.passed()
	var commands []store.Command
	if c := l.restoreStep(backup); c != nil {
		commands = append(commands, store.Command{Restore: c})
	}
	for range l.dice.IntN(4) {
		commands = append(commands, l.command())
	}
	l.dice.Shuffle(len(commands), func(i, j int) { commands[i], commands[j] = commands[j], commands[i] })
	return store.EncodeEntry(l.stamp, commands)
}

// passed returns how long after the newest stamp an entry is stamped: mostly a second, and at times before it, or so long after it that
// something ends with it (a restore, the memory of request ids, the time for which evidence is kept).
func (l *randomLog) passed() consent.Time {
	switch l.dice.IntN(50) {
	case 0, 1:
		return -5_000
	case 2, 3:
		return 7_000
	case 4:
		return 11 * 60 * 1000
	case 5:
		return 2 * 366 * aDay
	default:
		return 1_000
	}
}

// restoreStep returns the next step of a restore on its way, the first of a new one, or one that comes too late.
func (l *randomLog) restoreStep(backup func() []byte) *store.RestoreCommand {
	switch dice := l.dice.IntN(30); {
	case len(l.restore) == 0 && dice == 0:
		l.planRestore(backup())
	case len(l.restore) > 0 && dice == 0: // given up
		gone := l.restore[0].Epoch
		l.restore = nil
		return &store.RestoreCommand{Epoch: gone, Step: store.RestoreGiveUp}
	case len(l.restore) > 0 && dice < 12: // repeated
		return &l.restore[0]
	case len(l.late) > 0 && dice == 12:
		return &l.late[l.dice.IntN(len(l.late))]
	}
	if len(l.restore) == 0 {
		return nil
	}
	step := l.restore[0]
	l.restore = l.restore[1:]
	return &step
}

// planRestore plans the steps of a restore. One in four streams is damaged.
func (l *randomLog) planRestore(stream []byte) {
	if l.dice.IntN(4) == 0 {
		stream[l.dice.IntN(len(stream))] ^= 1
	}
	begin := store.RestoreCommand{Epoch: l.dice.Uint64() | 1, Replace: l.dice.IntN(8) > 0}
	size := len(stream)/(1+l.dice.IntN(4)) + 1
	for piece := range slices.Chunk(stream, size) {
		step := begin
		step.Piece = piece
		l.restore = append(l.restore, step)
		begin.Offset += uint64(len(piece))
	}
	l.late = append(l.late, l.restore[0])
	whole, finish := begin, begin
	whole.Step, whole.Sum = store.RestoreWhole, sha256.Sum256(stream)
	finish.Step = store.RestoreFinish
	l.restore = append(l.restore, whole, finish)
}

func (l *randomLog) command() store.Command {
	switch l.dice.IntN(16) {
	case 0:
		return l.write(l.id(0), 20+l.dice.IntN(30)) // a part of an import
	case 1, 2:
		if len(l.past) > 0 {
			return l.past[l.dice.IntN(len(l.past))]
		}
		return l.policy()
	case 3:
		if len(l.past) > 0 {
			return l.reused(l.past[l.dice.IntN(len(l.past))])
		}
		return l.policy()
	case 4, 5:
		return l.policy()
	case 6:
		return l.write([...]consent.RequestID{{}, l.id(-20 * 60 * 1000), l.id(20 * 60 * 1000)}[l.dice.IntN(3)], 1)
	case 7:
		return store.Command{Member: &store.MemberCommand{
			ID: fmt.Sprint("m", l.dice.IntN(4))[l.dice.IntN(2)*l.dice.IntN(2):], StaysLearner: l.dice.IntN(3) > 0, Removed: l.dice.IntN(4) == 0,
		}}
	case 8:
		l.terms++
		return store.Command{TermStart: &store.TermStart{
			Term: l.terms, CheckValue: [16]byte{byte(max(1, l.dice.IntN(8)-5))}, Epoch: l.dice.Uint64(), Bound: time.Second,
		}}
	default:
		return l.write(l.id(0), 1+l.dice.IntN(3))
	}
}

// id returns a new request id, made at a time before or after the stamp.
func (l *randomLog) id(after consent.Time) (id consent.RequestID) {
	l.ids++
	binary.BigEndian.PutUint64(id[:], uint64(l.stamp+after)<<16|7<<12)
	binary.BigEndian.PutUint64(id[8:], 2<<62|l.ids)
	return id
}

// reused returns another command with the request id of one.
func (l *randomLog) reused(c store.Command) store.Command {
	if c.Write != nil {
		return l.write(c.Write.RequestID, 1)
	}
	return l.write(c.Policy.RequestID, 1)
}

func (l *randomLog) policy() store.Command {
	document := fmt.Sprintf("purposes: {newsletter: {direct_marketing: true, channels: {email: {bases: [consent]}, phone: {bases: [consent]}}}, "+
		"campaign-%d: {bases: [consent]}}\n", l.dice.IntN(6))
	if l.dice.IntN(8) == 0 {
		document = "purposes: nonsense\n"
	}
	c := store.Command{Policy: &store.PolicyCommand{
		Tenant: l.tenant(), RequestID: l.id(0), Document: []byte(document), ETag: [...]string{"", "", consent.ETagNone, "1-0"}[l.dice.IntN(4)],
	}}
	l.past = append(l.past, c)
	return c
}

func (l *randomLog) tenant() string {
	return [...]string{"shop", "shop", "shop", "bank"}[l.dice.IntN(4)]
}

func (l *randomLog) write(id consent.RequestID, events int) store.Command {
	w := &store.WriteCommand{Tenant: l.tenant(), RequestID: id}
	for range events {
		w.Events = append(w.Events, store.KeyedEvent{Key: randomKey(w.Tenant, l.dice.IntN(8)), Event: l.event()})
	}
	c := store.Command{Write: w}
	l.past = append(l.past, c)
	return c
}

// randomKey returns the pseudonym of a tenant's subject.
func randomKey(tenant string, number int) store.Key {
	return store.NewPseudonymizer([16]byte{}).Of(tenant, fmt.Sprint(number))
}

// event returns one that is late, of a moment that others share, or new.
func (l *randomLog) event() consent.Event {
	e := consent.Event{
		Kind:     consent.EventKind(1 + l.dice.IntN(int(consent.Erased))),
		Evidence: consent.Evidence{NoticeVersion: uint32(l.dice.IntN(3)), Method: consent.Method(l.dice.IntN(2)), Reference: "form"},
		Scope:    consent.Scope{Permissions: []string{[...]string{"newsletter/email", "newsletter/phone", "ads/post", "crm"}[l.dice.IntN(4)]}},
	}
	if l.dice.IntN(3) == 0 {
		e.Kind = consent.Granted
	}
	switch l.dice.IntN(5) {
	case 0:
		e.OccurredAt = l.stamp - consent.Time(l.dice.Int64N(int64(aDay)))
	case 1:
		e.OccurredAt = l.stamp - consent.Time(l.dice.IntN(3)*1_000)
	case 2:
		e.OccurredAt = l.stamp + aDay
	}
	if e.Kind == consent.Granted && l.dice.IntN(4) == 0 {
		e.Terms.ExpiresAt = l.stamp + aDay
	}
	return e
}

// fullRecord returns a write that leaves no room in the record of a subject of its own, and another one that finds none.
func (l *randomLog) fullRecord() []store.Command {
	full := &store.WriteCommand{Tenant: "shop", RequestID: l.id(0)}
	for batch := range 16 {
		names := make([]string, 64)
		for i := range names {
			names[i] = fmt.Sprintf("p%d/email", 64*batch+i)
		}
		for notice := range uint32(4) { // none of which says all that another does
			e := consent.Event{
				Kind: consent.Granted, Evidence: consent.Evidence{NoticeVersion: 9 - notice}, Scope: consent.Scope{Permissions: names},
				Terms: consent.Terms{ValidFrom: l.stamp, ExpiresAt: l.stamp + aDay},
			}
			full.Events = append(full.Events, store.KeyedEvent{Key: randomKey("shop", 99), Event: e})
		}
	}
	more := l.write(l.id(0), 12)
	for i := range more.Write.Events {
		more.Write.Events[i].Key = randomKey("shop", 99)
		more.Write.Events[i].Event.OccurredAt = 0
	}
	return []store.Command{{Write: full}, more}
}
