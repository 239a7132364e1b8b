package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/consentd/consentd/consent"
)

// Command is one change of the replicated state. Exactly one of its fields is set.
type Command struct {
	Write     *WriteCommand
	Policy    *PolicyCommand
	TermStart *TermStart
	Member    *MemberCommand
	Restore   *RestoreCommand
}

// WriteCommand writes events of one tenant, all or none.
type WriteCommand struct {
	Tenant    string
	RequestID consent.RequestID
	Events    []KeyedEvent
}

// KeyedEvent is an event and whose it is.
type KeyedEvent struct {
	Key   Key
	Event consent.Event
}

// PolicyCommand makes a document the tenant's newest policy, if it isn't yet.
type PolicyCommand struct {
	Tenant    string
	RequestID consent.RequestID
	Document  []byte
	ETag      string // not empty: of the version it must follow, or consent.ETagNone
}

// TermStart is what a new leader applies first.
type TermStart struct {
	Term       uint64
	CheckValue [16]byte // of the pseudonym key; the first one is kept, and another one refused
	Epoch      uint64   // becomes the epoch if there is none yet

	// Bound is the staleness bound, and becomes the cluster's if there is none yet. Whole milliseconds count.
	Bound time.Duration
}

// MemberCommand says what is wished of a member of the cluster, by its id.
type MemberCommand struct {
	ID           string
	StaysLearner bool // it isn't to be made a voter by itself
	Removed      bool // nothing is wished of it any more
}

// An entry is
//
//	version byte | stamp, 8 bytes | commands, each preceded by its length | CRC-32C of all before, 4 bytes
//
// and a command is its kind and its fields in order. Integers are little-endian; lengths and counts are varints.
const (
	entryVersion = 2
	entryHead    = 1 + 8
	entryTail    = crc32.Size

	kindWrite     = 1
	kindPolicy    = 2
	kindTermStart = 3
	kindMember    = 4
	kindRestore   = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeEntry returns the entry of some commands, stamped with the leader's time.
func EncodeEntry(stamp consent.Time, commands []Command) []byte {
	encoded := make([][]byte, len(commands))
	for i := range commands {
		encoded[i] = EncodeCommand(commands[i])
	}
	return EntryOf(stamp, encoded)
}

// EntryOf is EncodeEntry for commands that EncodeCommand has encoded.
func EntryOf(stamp consent.Time, commands [][]byte) []byte {
	size := entryHead + entryTail
	for _, command := range commands {
		size += binary.MaxVarintLen32 + len(command)
	}
	entry := append(make([]byte, 0, size), entryVersion)
	entry = binary.LittleEndian.AppendUint64(entry, uint64(stamp))
	for _, command := range commands {
		entry = appendBytes(entry, command)
	}
	return binary.LittleEndian.AppendUint32(entry, crc32.Checksum(entry, castagnoli))
}

// EncodeCommand returns a command alone, as an entry holds it.
func EncodeCommand(c Command) []byte {
	const head, perEvent = 64, 128 // mostly enough, so that nothing is copied
	size := head
	if c.Write != nil {
		size += perEvent * len(c.Write.Events)
	}
	return appendCommand(make([]byte, 0, size), &c)
}

// DecodeCommand returns what EncodeCommand encoded, or ErrEntry. An entry may hold it then.
func DecodeCommand(text []byte) (Command, error) {
	c, err := decodeCommand(text)
	if err != nil {
		return Command{}, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return c.Command, nil
}

func appendCommand(dst []byte, c *Command) []byte {
	switch {
	case c.Write != nil:
		return appendWrite(append(dst, kindWrite), c.Write)
	case c.Policy != nil:
		dst = append(dst, kindPolicy)
		dst = append(dst, c.Policy.RequestID[:]...)
		dst = appendBytes(dst, []byte(c.Policy.Tenant))
		dst = appendBytes(dst, []byte(c.Policy.ETag))
		return append(dst, c.Policy.Document...)
	case c.TermStart != nil:
		dst = append(dst, kindTermStart)
		dst = binary.LittleEndian.AppendUint64(dst, c.TermStart.Term)
		dst = binary.LittleEndian.AppendUint64(dst, c.TermStart.Epoch)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.TermStart.Bound.Milliseconds()))
		return append(dst, c.TermStart.CheckValue[:]...)
	case c.Member != nil:
		dst = append(dst, kindMember, boolByte(c.Member.StaysLearner), boolByte(c.Member.Removed))
		return append(dst, c.Member.ID...)
	case c.Restore != nil:
		return appendRestore(append(dst, kindRestore), c.Restore)
	}
	panic("store: a command without content")
}

func appendRestore(dst []byte, c *RestoreCommand) []byte {
	dst = append(dst, byte(c.Step), boolByte(c.Replace))
	dst = binary.LittleEndian.AppendUint64(dst, c.Epoch)
	dst = binary.LittleEndian.AppendUint64(dst, c.Offset)
	return append(append(dst, c.Sum[:]...), c.Piece...)
}

func decodeRestore(in *input) *RestoreCommand {
	c := &RestoreCommand{Step: in.step(), Replace: in.bool(), Epoch: in.uint64(), Offset: in.uint64()}
	copy(c.Sum[:], in.take(uint64(len(c.Sum))))
	c.Piece, in.rest = in.rest, nil
	return c
}

func appendWrite(dst []byte, w *WriteCommand) []byte {
	dst = append(dst, w.RequestID[:]...)
	dst = appendBytes(dst, []byte(w.Tenant))
	var space [256]byte // mostly enough, so that nothing is allocated
	event := space[:0]
	for i := range w.Events {
		dst = appendKey(dst, w.Events[i].Key)
		event = consent.AppendEvent(event[:0], w.Events[i].Event)
		dst = appendBytes(dst, event)
	}
	return dst
}

func appendBytes(dst, text []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// decodedCommand is a command and the hash of what it asks for, by which a repeat is told from another use of its request id.
type decodedCommand struct {
	Command
	payload payloadHash
}

// decodeEntry returns what EncodeEntry encoded, or ErrEntry.
func decodeEntry(entry []byte) (stamp consent.Time, commands []decodedCommand, err error) {
	if len(entry) < entryHead+entryTail {
		return 0, nil, fmt.Errorf("%w: it has only %d bytes", ErrEntry, len(entry))
	}
	body, sum := entry[:len(entry)-entryTail], binary.LittleEndian.Uint32(entry[len(entry)-entryTail:])
	if crc32.Checksum(body, castagnoli) != sum {
		return 0, nil, fmt.Errorf("%w: its checksum doesn't fit its %d bytes", ErrEntry, len(entry))
	}
	if body[0] != entryVersion {
		return 0, nil, fmt.Errorf("%w: it has format %d, and this version knows %d: run the version that wrote it", ErrEntry, body[0], entryVersion)
	}
	stamp = consent.Time(binary.LittleEndian.Uint64(body[1:]))
	in := input{rest: body[entryHead:]}
	for len(in.rest) > 0 && in.err == nil {
		var c decodedCommand
		if c, in.err = decodeCommand(in.bytes()); in.err == nil {
			commands = append(commands, c)
		}
	}
	if in.err != nil {
		return 0, nil, fmt.Errorf("%w: command %d: %w", ErrEntry, len(commands), in.err)
	}
	return stamp, commands, nil
}

func decodeCommand(text []byte) (decodedCommand, error) {
	in := input{rest: text}
	c := decodedCommand{}
	switch kind := in.take(1); {
	case kind == nil:
	case kind[0] == kindWrite:
		c.Write = &WriteCommand{RequestID: consent.RequestID(in.array())}
		c.payload = hashPayload(in.rest)
		decodeWrite(&in, c.Write)
	case kind[0] == kindPolicy:
		c.Policy = &PolicyCommand{RequestID: consent.RequestID(in.array())}
		c.payload = hashPayload(in.rest)
		c.Policy.Tenant, c.Policy.ETag = string(in.bytes()), string(in.bytes())
		c.Policy.Document, in.rest = in.rest, nil
	case kind[0] == kindTermStart:
		c.TermStart = &TermStart{Term: in.uint64(), Epoch: in.uint64(), Bound: in.milliseconds(), CheckValue: in.array()}
	case kind[0] == kindMember:
		c.Member = &MemberCommand{StaysLearner: in.bool(), Removed: in.bool(), ID: string(in.rest)}
		in.rest = nil
	case kind[0] == kindRestore:
		c.Restore = decodeRestore(&in)
	default:
		return c, fmt.Errorf("kind %d is unknown: upgrade", kind[0])
	}
	if in.err == nil && len(in.rest) > 0 {
		in.err = fmt.Errorf("%d bytes are left over", len(in.rest))
	}
	return c, in.err
}

func decodeWrite(in *input, w *WriteCommand) {
	w.Tenant = string(in.bytes())
	for len(in.rest) > 0 && in.err == nil {
		var e KeyedEvent
		e.Key = in.key()
		text := in.bytes()
		if in.err == nil {
			e.Event, in.err = consent.DecodeEvent(text)
		}
		w.Events = append(w.Events, e)
	}
}

var errShort = errors.New("it ends too soon")

// input takes fields from the front of a text. After the first one that isn't there, all are zero, and err says so. Nothing is allocated
// for a length that the text itself doesn't have.
type input struct {
	rest []byte
	err  error
}

func (in *input) take(n uint64) []byte {
	if in.err != nil || n > uint64(len(in.rest)) {
		in.fail(errShort)
		return nil
	}
	text := in.rest[:n:n]
	in.rest = in.rest[n:]
	return text
}

func (in *input) fail(err error) {
	if in.err == nil {
		in.err = err
	}
	in.rest = nil
}

func (in *input) uvarint() uint64 {
	n, size := binary.Uvarint(in.rest)
	if size <= 0 {
		in.fail(errShort)
		return 0
	}
	in.rest = in.rest[size:]
	return n
}

func (in *input) bytes() []byte { return in.take(in.uvarint()) }

func (in *input) uint64() uint64 {
	if text := in.take(8); text != nil {
		return binary.LittleEndian.Uint64(text)
	}
	return 0
}

// milliseconds takes a duration. One that is too long is the longest there is.
func (in *input) milliseconds() time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(in.uint64(), uint64(most))) * time.Millisecond
}

func (in *input) bool() bool {
	b := in.take(1)
	if len(b) == 1 && b[0] > 1 {
		in.fail(fmt.Errorf("%d is neither yes nor no", b[0]))
	}
	return len(b) == 1 && b[0] == 1
}

func (in *input) step() RestoreStep {
	step := in.take(1)
	if len(step) == 1 && RestoreStep(step[0]) >= restoreSteps {
		in.fail(fmt.Errorf("step %d of a restore is unknown: upgrade", step[0]))
	}
	if len(step) == 0 {
		return 0
	}
	return RestoreStep(step[0])
}

func (in *input) array() (a [16]byte) {
	copy(a[:], in.take(16))
	return a
}

func (in *input) key() Key {
	if text := in.take(keyBytes); text != nil {
		return keyOf(text)
	}
	return Key{}
}
