package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// How a leader tells another replica what a command came to. An outcome is
//
//	format byte | kind byte | fields in order
//
// Integers and lengths are varints. What the other side knows already, the document of a policy, is left out.
const (
	outcomeFormat = 1

	outcomeWrite  = 1 // revision, stamp, an effect for each byte that is left
	outcomePolicy = 2 // revision, stamp, whether it changed, version, time of putting, its revision, ETag
	outcomeError  = 3 // count and numbers of the sentinels in it, count and fields of the faults in it, its words
)

// sentinels are the errors that are told by their number, so that errors.Is works on the other side. A number is never used again for
// another: replicas of several versions speak with each other. Those below firstReason say what became of the command.
var sentinels = map[uint64]error{
	1:  consent.ErrNotWritten,
	2:  consent.ErrOutcomeUnknown,
	3:  consent.ErrOverloaded,
	4:  consent.ErrStorageFull,
	5:  consent.ErrRequestReused,
	6:  consent.ErrRequestExpired,
	7:  consent.ErrRequestFuture,
	8:  consent.ErrETag,
	9:  consent.ErrTooManyNames,
	10: store.ErrTooManyTenants,
	11: store.ErrRequestID,
	12: consent.ErrBackup,
	13: store.ErrSnapshot,
	14: store.ErrPseudonymKey,

	32: ErrNotLeading,
	33: ErrClock,
	34: consent.ErrNotReady,
	35: raft.ErrLeadershipLost,
	36: raft.ErrLeadershipTransferInProgress,
	37: context.DeadlineExceeded,
	38: context.Canceled,
}

const (
	firstReason  = 32 // of those that only say why
	lastSentinel = 38
)

// foreignError is an error of another replica.
type foreignError struct {
	words  string
	causes []error
}

func (e *foreignError) Error() string   { return e.words }
func (e *foreignError) Unwrap() []error { return e.causes }

// encodeOutcome returns what a command came to in writing.
func encodeOutcome(result store.Result, err error) []byte {
	text := []byte{outcomeFormat}
	if err != nil {
		return appendError(append(text, outcomeError), err)
	}
	if result.Policy == nil {
		text = appendRevision(append(text, outcomeWrite), result.Revision)
		text = binary.AppendUvarint(text, uint64(result.Stamp))
		for _, effect := range result.Effects {
			text = append(text, byte(effect))
		}
		return text
	}
	p := result.Policy
	text = appendRevision(append(text, outcomePolicy), result.Revision)
	text = binary.AppendUvarint(text, uint64(result.Stamp))
	text = binary.AppendUvarint(text, uint64(boolByte(result.PolicyChanged)))
	text = binary.AppendUvarint(text, uint64(p.Version))
	text = binary.AppendUvarint(text, uint64(p.PutAt))
	text = appendRevision(text, p.Revision)
	return append(text, p.ETag...)
}

func appendRevision(dst []byte, r consent.Revision) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, r.Epoch), r.Index)
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendError(dst []byte, err error) []byte {
	var numbers []uint64
	for number := range uint64(lastSentinel + 1) {
		if sentinel := sentinels[number]; sentinel != nil && errors.Is(err, sentinel) {
			numbers = append(numbers, number)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(numbers)))
	for _, number := range numbers {
		dst = binary.AppendUvarint(dst, number)
	}
	var policy *consent.PolicyError
	if !errors.As(err, &policy) {
		policy = &consent.PolicyError{}
	}
	dst = binary.AppendUvarint(dst, uint64(len(policy.Faults)))
	for _, f := range policy.Faults {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(f.Line)), uint64(f.Column))
		dst = appendText(appendText(dst, f.Path), f.Message)
	}
	return append(dst, err.Error()...)
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// decodeOutcome returns what a command came to, by what the leader wrote of it. What can't be read, or is an error that this version
// doesn't know, is consent.ErrOutcomeUnknown: the command got there.
func decodeOutcome(text []byte, command *store.Command) (store.Result, error) {
	in := outcomeReader{rest: text}
	if format := in.byte(); format != outcomeFormat {
		return store.Result{}, unknown(fmt.Errorf("the leader's answer has format %d, and this version knows %d", format, outcomeFormat))
	}
	var result store.Result
	var told error
	switch kind := in.byte(); kind {
	case outcomeWrite:
		result = in.write()
	case outcomePolicy:
		result = in.policy(command)
	case outcomeError:
		told = in.error()
	default:
		return store.Result{}, unknown(fmt.Errorf("the leader's answer is of kind %d, which this version doesn't know", kind))
	}
	if in.short || told == nil && (command.Policy != nil) != (result.Policy != nil) {
		return store.Result{}, unknown(errors.New("the leader's answer isn't one to what it was asked"))
	}
	if told != nil {
		return store.Result{}, told
	}
	return result, nil
}

// outcomeReader takes fields from the front of an outcome. After the first one that isn't there, all are zero, and short says so.
type outcomeReader struct {
	rest  []byte
	short bool
}

func (in *outcomeReader) take(n uint64) []byte {
	if n > uint64(len(in.rest)) {
		in.rest, in.short = nil, true
		return nil
	}
	text := in.rest[:n]
	in.rest = in.rest[n:]
	return text
}

func (in *outcomeReader) byte() byte {
	if text := in.take(1); text != nil {
		return text[0]
	}
	return 0
}

func (in *outcomeReader) uvarint() uint64 {
	n, size := binary.Uvarint(in.rest)
	if size <= 0 {
		in.rest, in.short = nil, true
		return 0
	}
	in.rest = in.rest[size:]
	return n
}

func (in *outcomeReader) text() string { return string(in.take(in.uvarint())) }

func (in *outcomeReader) revision() consent.Revision {
	return consent.Revision{Epoch: in.uvarint(), Index: in.uvarint()}
}

func (in *outcomeReader) write() store.Result {
	result := store.Result{Revision: in.revision(), Stamp: consent.Time(in.uvarint())}
	for _, effect := range in.rest {
		result.Effects = append(result.Effects, consent.Effect(effect))
	}
	return result
}

func (in *outcomeReader) policy(command *store.Command) store.Result {
	result := store.Result{Revision: in.revision(), Stamp: consent.Time(in.uvarint()), PolicyChanged: in.uvarint() != 0}
	p := consent.PolicyVersion{Version: int64(in.uvarint()), PutAt: consent.Time(in.uvarint()), Revision: in.revision()}
	p.ETag = string(in.rest)
	if command.Policy != nil {
		p.Document = command.Policy.Document
	}
	result.Policy = &p
	return result
}

// error returns an error that was told. One that says nothing of the command leaves open what became of it.
func (in *outcomeReader) error() error {
	e, verdict := &foreignError{}, false
	for count := in.uvarint(); count > 0 && !in.short; count-- {
		number := in.uvarint()
		if known := sentinels[number]; known != nil {
			e.causes = append(e.causes, known)
			verdict = verdict || number < firstReason
		}
	}
	if faults := in.faults(); faults != nil {
		e.causes, verdict = append(e.causes, &consent.PolicyError{Faults: faults}), true
	}
	e.words = string(in.rest)
	if !verdict {
		return unknown(e)
	}
	return e
}

func (in *outcomeReader) faults() (faults []consent.Fault) {
	for count := in.uvarint(); count > 0 && !in.short; count-- {
		line, column := in.uvarint(), in.uvarint()
		faults = append(faults, consent.Fault{Line: int(line), Column: int(column), Path: in.text(), Message: in.text()})
	}
	return faults
}
