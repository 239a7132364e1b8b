package wire

import (
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// BatchQuestions are a BatchCheckRequest.
type BatchQuestions struct {
	Tenant       string
	List         []BatchQuestion
	Permissions  []string // of questions that name none
	SubjectType  consentv1.SubjectType
	SimilarGoods bool
	Consistency  *consentv1.Consistency

	names []string // of permissions that questions name
}

// BatchQuestion is a CheckQuestion.
type BatchQuestion struct {
	Subject      string
	Permissions  []string
	SubjectType  consentv1.SubjectType
	SimilarGoods bool
}

// Reset empties the questions, and keeps memory for those that come next, unless it is more than they need as a rule.
func (q *BatchQuestions) Reset() {
	*q = BatchQuestions{List: emptied(q.List), Permissions: emptied(q.Permissions), names: emptied(q.names)}
}

// Message returns the message that the questions stand for. It shares nothing with them that is used again.
func (q *BatchQuestions) Message() *consentv1.BatchCheckRequest {
	m := &consentv1.BatchCheckRequest{
		Tenant: q.Tenant, Permissions: append([]string(nil), q.Permissions...), SubjectType: q.SubjectType, SimilarGoods: q.SimilarGoods,
		Consistency: q.Consistency, Questions: make([]*consentv1.CheckQuestion, len(q.List)),
	}
	for i := range q.List {
		one := &q.List[i]
		m.Questions[i] = &consentv1.CheckQuestion{
			Subject: one.Subject, Permissions: append([]string(nil), one.Permissions...), SubjectType: one.SubjectType, SimilarGoods: one.SimilarGoods,
		}
	}
	return m
}

func (q *BatchQuestions) set(m *consentv1.BatchCheckRequest) {
	q.Reset()
	q.Tenant, q.Permissions = m.GetTenant(), append(q.Permissions, m.GetPermissions()...)
	q.SubjectType, q.SimilarGoods, q.Consistency = m.GetSubjectType(), m.GetSimilarGoods(), m.GetConsistency()
	for _, one := range m.GetQuestions() {
		q.List = append(q.List, BatchQuestion{one.GetSubject(), one.GetPermissions(), one.GetSubjectType(), one.GetSimilarGoods()})
	}
}

func (q *BatchQuestions) most() int {
	const rest = 32 // of numbers
	most := rest + sizeOf(len(q.Tenant)) + sizeOfAll(q.Permissions)
	for i := range q.List {
		most += rest + sizeOf(len(q.List[i].Subject)) + sizeOfAll(q.List[i].Permissions)
	}
	if q.Consistency != nil {
		most += sizeOf(proto.Size(q.Consistency))
	}
	return most
}

func sizeOfAll(texts []string) (size int) {
	for _, text := range texts {
		size += sizeOf(len(text))
	}
	return size
}

func (q *BatchQuestions) append(b []byte) ([]byte, error) {
	b = appendText(b, 1, q.Tenant)
	for i := range q.List {
		var at int
		b, at = begin(b, 2)
		b = end(q.List[i].append(b), at)
	}
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

func (q *BatchQuestion) append(b []byte) []byte {
	b = appendText(b, 1, q.Subject)
	for _, p := range q.Permissions {
		b = appendItem(b, 2, p)
	}
	b = appendNumber(b, 3, uint64(q.SubjectType)) //nolint:gosec // as the contract has it
	return appendNumber(b, 4, protowire.EncodeBool(q.SimilarGoods))
}

// read reads a message into the list, in the place of what was there.
func (q *BatchQuestions) read(data []byte) error {
	q.Reset()
	if q.readPlain(string(data)) {
		return nil
	}
	m := new(consentv1.BatchCheckRequest)
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	q.set(m)
	return nil
}

func (q *BatchQuestions) readPlain(text string) bool {
	r := reader{left: text}
	for r.more() {
		switch r.tag() {
		case 1<<3 | framed:
			q.Tenant = r.text()
		case 2<<3 | framed:
			q.List = append(q.List, BatchQuestion{})
			r.hold(q.List[len(q.List)-1].readPlain(r.bytes(), &q.names))
		case 3<<3 | framed:
			q.Permissions = append(q.Permissions, r.text())
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
	return !r.odd
}

func (q *BatchQuestion) readPlain(text string, names *[]string) bool {
	r := reader{left: text}
	first := len(*names)
	for r.more() {
		switch r.tag() {
		case 1<<3 | framed:
			q.Subject = r.text()
		case 2<<3 | framed:
			*names = append(*names, r.text())
		case 3<<3 | number:
			q.SubjectType = consentv1.SubjectType(r.number()) //nolint:gosec // as the contract has it
		case 4<<3 | number:
			q.SimilarGoods = r.number() != 0
		default:
			r.odd = true
		}
	}
	q.Permissions = (*names)[first:len(*names):len(*names)]
	return !r.odd
}
