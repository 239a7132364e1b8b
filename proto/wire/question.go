package wire

import (
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Question is a CheckRequest.
type Question struct {
	Tenant       string
	Subject      string
	Permissions  []string
	SubjectType  consentv1.SubjectType
	SimilarGoods bool
	Consistency  *consentv1.Consistency

	size int
}

// Size returns how many bytes a question took that was read.
func (q *Question) Size() int { return q.size }

// Most returns how many bytes the question takes at most among others.
func (q *Question) Most() int { return q.most() + maxFraming }

func (q *Question) most() int {
	const goods = 2
	most := goods + 1 + protowire.SizeVarint(uint64(q.SubjectType)) + sizeOf(len(q.Tenant)) + sizeOf(len(q.Subject)) //nolint:gosec // as written
	for _, p := range q.Permissions {
		most += sizeOf(len(p))
	}
	if q.Consistency != nil {
		most += sizeOf(proto.Size(q.Consistency))
	}
	return most
}

// Message returns the message that the question stands for.
func (q *Question) Message() *consentv1.CheckRequest {
	return &consentv1.CheckRequest{
		Tenant: q.Tenant, Subject: q.Subject, Permissions: q.Permissions,
		SubjectType: q.SubjectType, SimilarGoods: q.SimilarGoods, Consistency: q.Consistency,
	}
}

func (q *Question) set(m *consentv1.CheckRequest) {
	*q = Question{
		Tenant: m.GetTenant(), Subject: m.GetSubject(), Permissions: m.GetPermissions(),
		SubjectType: m.GetSubjectType(), SimilarGoods: m.GetSimilarGoods(), Consistency: m.GetConsistency(),
	}
}

func (q *Question) append(b []byte) ([]byte, error) {
	b = appendText(b, 1, q.Tenant)
	b = appendText(b, 2, q.Subject)
	for _, p := range q.Permissions {
		b = appendItem(b, 3, p)
	}
	b = appendNumber(b, 4, uint64(q.SubjectType)) //nolint:gosec // as the contract has it
	b = appendNumber(b, 5, protowire.EncodeBool(q.SimilarGoods))
	if q.Consistency == nil {
		return b, nil
	}
	return appendMessage(b, 6, q.Consistency)
}

func (q *Question) read(data []byte) error {
	var names []string
	*q = Question{}
	if !q.readPlain(string(data), &names) {
		m := new(consentv1.CheckRequest)
		if err := proto.Unmarshal(data, m); err != nil {
			return err
		}
		q.set(m)
	}
	q.size = len(data)
	return nil
}

// readPlain reports whether it has read the question, whose permissions it appends to names.
func (q *Question) readPlain(text string, names *[]string) bool {
	r := reader{left: text}
	first := len(*names)
	q.size = len(text)
	for r.more() {
		switch r.tag() {
		case 1<<3 | framed:
			q.Tenant = r.text()
		case 2<<3 | framed:
			q.Subject = r.text()
		case 3<<3 | framed:
			*names = append(*names, r.text())
		case 4<<3 | number:
			q.SubjectType = consentv1.SubjectType(r.number()) //nolint:gosec // as the contract has it
		case 5<<3 | number:
			q.SimilarGoods = r.number() != 0
		case 6<<3 | framed:
			r.once(q.Consistency != nil)
			q.Consistency = new(consentv1.Consistency)
			r.hold(proto.Unmarshal([]byte(r.bytes()), q.Consistency) == nil)
		default:
			r.odd = true
		}
	}
	q.Permissions = (*names)[first:len(*names):len(*names)]
	return !r.odd
}
