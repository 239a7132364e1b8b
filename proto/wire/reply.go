package wire

import (
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Reply is a CheckResponse.
type Reply struct {
	Results       []Result
	Revision      string
	PolicyVersion int64
	Age           time.Duration
}

// Result is a CheckResult: an answer, or the status that says why there is none.
type Result struct {
	Permission  string
	Status      *statuspb.Status
	Answered    bool
	Decision    consentv1.Decision
	Reason      consentv1.Reason
	Basis       consentv1.Basis
	Obligations Obligations
	NextChange  time.Time // zero for none
	CacheFor    time.Duration
}

// Obligations are a set: each has the bit of its number in the contract.
type Obligations uint64

// UnknownObligation stands for every obligation whose number is beyond the bits of the set, or no obligation's.
const UnknownObligation Obligations = 1

func (o Obligations) with(n consentv1.Obligation) Obligations {
	if n <= 0 || n > 63 {
		return o | UnknownObligation
	}
	return o | 1<<n
}

// Set makes the reply what a message says.
func (r *Reply) Set(m *consentv1.CheckResponse) {
	r.Results = resultsOf(r.Results[:0], m.GetResults())
	r.Revision, r.PolicyVersion, r.Age = m.GetRevision(), m.GetPolicyVersion(), m.GetAge().AsDuration()
}

func resultsOf(results []Result, list []*consentv1.CheckResult) []Result {
	for _, one := range list {
		results = append(results, resultOf(one))
	}
	return results
}

func resultOf(m *consentv1.CheckResult) Result {
	result := Result{Permission: m.GetPermission(), Status: m.GetStatus()}
	answer := m.GetAnswer()
	if answer == nil {
		return result
	}
	result.Answered = true
	result.Decision, result.Reason, result.Basis = answer.GetDecision(), answer.GetReason(), answer.GetBasis()
	for _, o := range answer.GetObligations() {
		result.Obligations = result.Obligations.with(o)
	}
	if answer.GetNextChange() != nil {
		result.NextChange = answer.GetNextChange().AsTime()
	}
	result.CacheFor = answer.GetCacheFor().AsDuration()
	return result
}

const (
	maxReply  = 128 // bytes of a reply beyond its results
	maxResult = 128 // bytes of a result beyond the permission and the status
)

func (r *Reply) most() int {
	most := maxReply
	for i := range r.Results {
		most += maxResult + len(r.Results[i].Permission)
	}
	return most
}

func (r *Reply) append(b []byte) ([]byte, error) {
	b, err := appendResults(b, r.Results)
	return appendGround(b, r.Revision, r.PolicyVersion, r.Age), err
}

func appendResults(b []byte, results []Result) (_ []byte, err error) {
	for i := range results {
		var at int
		b, at = begin(b, 1)
		if b, err = results[i].append(b); err != nil {
			return b, err
		}
		b = end(b, at)
	}
	return b, nil
}

// appendGround appends what all replies have in common, under the same numbers.
func appendGround(b []byte, revision string, policyVersion int64, age time.Duration) []byte {
	b = appendText(b, 2, revision)
	b = appendNumber(b, 3, uint64(policyVersion)) //nolint:gosec // as the contract has it
	return appendDuration(b, 4, age)
}

func (r *Result) append(b []byte) ([]byte, error) {
	b = appendText(b, 1, r.Permission)
	switch {
	case r.Status != nil:
		return appendMessage(b, 3, r.Status)
	case !r.Answered:
		return b, nil
	}
	b, at := begin(b, 2)
	b = appendNumber(b, 1, uint64(r.Decision)) //nolint:gosec // as the contract has it
	b = appendNumber(b, 2, uint64(r.Reason))   //nolint:gosec // likewise
	b = appendNumber(b, 3, uint64(r.Basis))    //nolint:gosec // likewise
	b = appendObligations(b, r.Obligations)
	if !r.NextChange.IsZero() {
		b = appendMoment(b, 5, r.NextChange.Unix(), int32(r.NextChange.Nanosecond())) //nolint:gosec // below a billion
	}
	if r.CacheFor != 0 {
		b = appendDuration(b, 6, r.CacheFor)
	}
	return end(b, at), nil
}

func appendObligations(b []byte, o Obligations) []byte {
	if o == 0 {
		return b
	}
	b, at := begin(b, 4)
	for n := byte(0); n < 64; n++ {
		if o&(1<<n) != 0 {
			b = append(b, n)
		}
	}
	return end(b, at)
}

func (r *Reply) read(data []byte) error {
	if *r = (Reply{Results: r.Results[:0]}); r.readPlain(string(data), &r.Results) {
		return nil
	}
	m := new(consentv1.CheckResponse)
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	r.Set(m)
	return nil
}

// readPlain reports whether it has read the reply, whose results it appends to a list.
func (r *Reply) readPlain(text string, results *[]Result) bool {
	p := reader{left: text}
	g := ground{}
	first := len(*results)
	for p.more() {
		switch tag := p.tag(); tag {
		case 1<<3 | framed:
			*results = append(*results, Result{})
			p.hold((*results)[len(*results)-1].readPlain(p.bytes()))
		default:
			g.read(tag, &p)
		}
	}
	r.Results = (*results)[first:len(*results):len(*results)]
	r.Revision, r.PolicyVersion, r.Age = g.revision, g.policyVersion, g.age
	return !p.odd
}

// ground is what all replies have in common, under the same numbers.
type ground struct {
	revision      string
	policyVersion int64
	age           time.Duration
	aged          bool
}

func (g *ground) read(tag byte, r *reader) {
	switch tag {
	case 2<<3 | framed:
		g.revision = r.text()
	case 3<<3 | number:
		g.policyVersion = int64(r.number()) //nolint:gosec // as the contract has it
	case 4<<3 | framed:
		r.once(g.aged)
		g.aged = true
		g.age = r.duration()
	default:
		r.odd = true
	}
}

func (r *Result) readPlain(text string) bool {
	p := reader{left: text}
	for p.more() {
		switch p.tag() {
		case 1<<3 | framed:
			r.Permission = p.text()
		case 2<<3 | framed:
			p.once(r.Answered)
			r.Answered = true
			r.readAnswer(&p)
		default: // as with a status, which is rare
			p.odd = true
		}
	}
	return !p.odd
}

func (r *Result) readAnswer(from *reader) {
	p := reader{left: from.bytes()}
	changes, kept := false, false
	for p.more() {
		switch p.tag() {
		case 1<<3 | number:
			r.Decision = consentv1.Decision(p.number()) //nolint:gosec // as the contract has it
		case 2<<3 | number:
			r.Reason = consentv1.Reason(p.number()) //nolint:gosec // likewise
		case 3<<3 | number:
			r.Basis = consentv1.Basis(p.number()) //nolint:gosec // likewise
		case 4<<3 | framed:
			for list := (reader{left: p.bytes()}); list.more(); p.hold(!list.odd) {
				r.Obligations = r.Obligations.with(consentv1.Obligation(list.number())) //nolint:gosec // likewise
			}
		case 5<<3 | framed:
			p.once(changes)
			changes = true
			seconds, nanos := p.moment()
			r.NextChange = (&timestamppb.Timestamp{Seconds: seconds, Nanos: nanos}).AsTime()
		case 6<<3 | framed:
			p.once(kept)
			kept = true
			r.CacheFor = p.duration()
		default:
			p.odd = true
		}
	}
	from.hold(!p.odd)
}
