package wire

import (
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

// Answers are a StreamCheckResponse with those below it.
type Answers struct {
	List []Answer

	results []Result
}

// Answer is one answer of several: a reply, or the status that says why there is none.
type Answer struct {
	ID     uint64
	Check  Reply
	Status *statuspb.Status // nil if there is a reply; empty if neither was there
}

// Reset empties the list, and keeps memory for the answers that come next, unless it is more than they need as a rule.
func (a *Answers) Reset() { a.List, a.results = emptied(a.List), emptied(a.results) }

// mostKept is how many elements there may be room for in a list that is kept: whoever shares a stream seldom needs more at a time, and a stream
// that has nothing to do mustn't hold what its largest message took.
const mostKept = 256

// emptied returns a list without what was in it.
func emptied[T any](list []T) []T {
	if cap(list) > mostKept {
		return nil
	}
	clear(list)
	return list[:0]
}

// Add returns a new answer at the end of the list, to be filled in, with room for the results of so many permissions. It is valid until the next.
func (a *Answers) Add(id uint64, results int) *Answer {
	first := len(a.results)
	for range results {
		a.results = append(a.results, Result{})
	}
	a.List = append(a.List, Answer{ID: id, Check: Reply{Results: a.results[first:len(a.results):len(a.results)]}})
	return &a.List[len(a.List)-1]
}

// Drop takes the last answer off the list.
func (a *Answers) Drop() {
	last := len(a.List) - 1
	a.List[last] = Answer{}
	a.List = a.List[:last]
}

func (a *Answers) most() int {
	most := 0
	for i := range a.List {
		most += a.List[i].Check.most() + maxFraming
	}
	return most
}

func (a *Answers) append(b []byte) (_ []byte, err error) {
	for i := range a.List {
		if i == 0 {
			b, err = a.List[i].append(b)
		} else {
			var at int
			b, at = begin(b, 4)
			b, err = a.List[i].append(b)
			b = end(b, at)
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

func (a *Answer) append(b []byte) ([]byte, error) {
	b = appendNumber(b, 1, a.ID)
	if a.Status != nil {
		return appendMessage(b, 3, a.Status)
	}
	b, at := begin(b, 2)
	b, err := a.Check.append(b)
	return end(b, at), err
}

// read reads a message into the list, in the place of what was there.
func (a *Answers) read(data []byte) error {
	a.Reset()
	if a.readPlain(string(data), 0) {
		return nil
	}
	m := new(consentv1.StreamCheckResponse)
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	a.setAll(m)
	return nil
}

func (a *Answers) setAll(m *consentv1.StreamCheckResponse) {
	a.Reset()
	a.add(m)
	for _, also := range m.GetAlso() {
		a.add(also)
	}
}

func (a *Answers) add(m *consentv1.StreamCheckResponse) {
	one := a.Add(m.GetCorrelationId(), 0)
	switch {
	case m.GetCheck() != nil:
		one.Check.Set(m.GetCheck())
	case m.GetStatus() != nil:
		one.Status = m.GetStatus()
	default:
		one.Status = new(statuspb.Status)
	}
}

// readPlain reads an answer at a depth, and those below it behind it.
func (a *Answers) readPlain(text string, depth int) bool {
	r := reader{left: text}
	place := len(a.List)
	a.List = append(a.List, Answer{})
	replied := false
	for r.more() {
		switch r.tag() {
		case 1<<3 | number:
			a.List[place].ID = r.number()
		case 2<<3 | framed:
			r.once(replied)
			replied = true
			r.hold(a.List[place].Check.readPlain(r.bytes(), &a.results))
		case 4<<3 | framed:
			r.hold(depth == 0 && a.readPlain(r.bytes(), depth+1))
		default: // as with a status, which is rare
			r.odd = true
		}
	}
	return replied && !r.odd
}
