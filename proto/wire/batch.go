package wire

import (
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

// BatchReply is a BatchCheckResponse.
type BatchReply struct {
	Items         []Item
	Revision      string
	PolicyVersion int64
	Age           time.Duration

	// Written, if it isn't nil, is called once the reply is written: nobody looks at it any more, and its memory may be used again.
	Written func()

	results []Result
}

// Item is what a batch says of one of its questions: results, or the status that says why there are none.
type Item struct {
	Results []Result
	Status  *statuspb.Status
}

func (b *BatchReply) most() int {
	most := maxReply
	for i := range b.Items {
		most += 2 * 11
		for j := range b.Items[i].Results {
			most += maxResult + len(b.Items[i].Results[j].Permission)
		}
	}
	return most
}

func (b *BatchReply) append(to []byte) (_ []byte, err error) {
	for i := range b.Items {
		var at int
		to, at = begin(to, 1)
		if to, err = b.Items[i].append(to); err != nil {
			return to, err
		}
		to = end(to, at)
	}
	return appendGround(to, b.Revision, b.PolicyVersion, b.Age), nil
}

func (i *Item) append(to []byte) (_ []byte, err error) {
	if to, err = appendResults(to, i.Results); err != nil || i.Status == nil {
		return to, err
	}
	return appendMessage(to, 2, i.Status)
}

func (b *BatchReply) read(data []byte) error {
	*b = BatchReply{}
	if b.readPlain(string(data)) {
		return nil
	}
	m := new(consentv1.BatchCheckResponse)
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	b.set(m)
	return nil
}

func (b *BatchReply) set(m *consentv1.BatchCheckResponse) {
	*b = BatchReply{Revision: m.GetRevision(), PolicyVersion: m.GetPolicyVersion(), Age: m.GetAge().AsDuration()}
	for _, item := range m.GetItems() {
		b.Items = append(b.Items, Item{resultsOf(nil, item.GetResults()), item.GetStatus()})
	}
}

func (b *BatchReply) readPlain(text string) bool {
	r := reader{left: text}
	g := ground{}
	for r.more() {
		switch tag := r.tag(); tag {
		case 1<<3 | framed:
			b.Items = append(b.Items, Item{})
			r.hold(b.Items[len(b.Items)-1].readPlain(r.bytes(), &b.results))
		default:
			g.read(tag, &r)
		}
	}
	b.Revision, b.PolicyVersion, b.Age = g.revision, g.policyVersion, g.age
	return !r.odd
}

func (i *Item) readPlain(text string, results *[]Result) bool {
	r := reader{left: text}
	first := len(*results)
	for r.more() {
		if r.tag() != 1<<3|framed { // as with a status, which is rare
			return false
		}
		*results = append(*results, Result{})
		r.hold((*results)[len(*results)-1].readPlain(r.bytes()))
	}
	i.Results = (*results)[first:len(*results):len(*results)]
	return !r.odd
}
