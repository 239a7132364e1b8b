package wire

import (
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/proto"
)

// Questions are a StreamCheckRequest with those below it.
type Questions struct {
	List []Asked
	Deep bool // there are questions below a question below a question, which aren't in the list

	names []string // of permissions
}

// Asked is one question of several.
type Asked struct {
	ID    uint64
	Check Question
	None  bool // the question itself is missing
}

func (q *Questions) most() int {
	most := 0
	for i := range q.List {
		most += q.List[i].Check.Most()
	}
	return most
}

// maxFraming is how many bytes a question takes among others beyond its own, at most: an id, and two tags and lengths.
const maxFraming = 11 + 2*6

func (q *Questions) append(b []byte) (_ []byte, err error) {
	for i := range q.List {
		if i == 0 {
			b, err = q.List[i].append(b)
		} else {
			var at int
			b, at = begin(b, 3)
			b, err = q.List[i].append(b)
			b = end(b, at)
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

func (a *Asked) append(b []byte) ([]byte, error) {
	b, at := begin(appendNumber(b, 1, a.ID), 2)
	b, err := a.Check.append(b)
	return end(b, at), err
}

// Reset lets go of what was read, and keeps memory for the questions that come next, unless it is more than they need as a rule.
func (q *Questions) Reset() { q.List, q.names, q.Deep = emptied(q.List), emptied(q.names), false }

// read reads a message into the list, in the place of what was there.
func (q *Questions) read(data []byte) error {
	q.Reset()
	if q.readPlain(string(data), 0) {
		return nil
	}
	m := new(consentv1.StreamCheckRequest)
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	q.setAll(m)
	return nil
}

func (q *Questions) setAll(m *consentv1.StreamCheckRequest) {
	q.Reset()
	q.add(m)
	for _, also := range m.GetAlso() {
		q.add(also)
		q.Deep = q.Deep || len(also.GetAlso()) > 0
	}
}

func (q *Questions) add(m *consentv1.StreamCheckRequest) {
	q.List = append(q.List, Asked{ID: m.GetCorrelationId(), None: m.GetCheck() == nil})
	if check := m.GetCheck(); check != nil {
		one := &q.List[len(q.List)-1].Check
		one.set(check)
		one.size = proto.Size(check)
	}
}

// readPlain reads a question at a depth, and those below it behind it.
func (q *Questions) readPlain(text string, depth int) bool {
	r := reader{left: text}
	place := len(q.List)
	q.List = append(q.List, Asked{None: true})
	for r.more() {
		switch r.tag() {
		case 1<<3 | number:
			q.List[place].ID = r.number()
		case 2<<3 | framed:
			one := &q.List[place]
			r.once(!one.None)
			one.None = false
			r.hold(one.Check.readPlain(r.bytes(), &q.names))
		case 3<<3 | framed:
			r.hold(depth == 0 && q.readPlain(r.bytes(), depth+1))
		default:
			r.odd = true
		}
	}
	return !r.odd
}
