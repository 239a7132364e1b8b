package wire

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// What each message is, as one of the generated code.

func (q *Questions) message() *consentv1.StreamCheckRequest {
	var all []*consentv1.StreamCheckRequest
	for i := range q.List {
		one := &consentv1.StreamCheckRequest{CorrelationId: q.List[i].ID}
		if !q.List[i].None {
			one.Check = q.List[i].Check.Message()
		}
		all = append(all, one)
	}
	all[0].Also = all[1:]
	return all[0]
}

func (r *Result) message() *consentv1.CheckResult {
	m := &consentv1.CheckResult{Permission: r.Permission}
	if r.Status != nil {
		m.Result = &consentv1.CheckResult_Status{Status: r.Status}
	}
	if !r.Answered {
		return m
	}
	answer := &consentv1.Answer{Decision: r.Decision, Reason: r.Reason, Basis: r.Basis}
	for n := range 64 {
		if r.Obligations&(1<<n) != 0 {
			answer.Obligations = append(answer.Obligations, consentv1.Obligation(n))
		}
	}
	if !r.NextChange.IsZero() {
		answer.NextChange = timestamppb.New(r.NextChange)
	}
	if r.CacheFor != 0 {
		answer.CacheFor = durationpb.New(r.CacheFor)
	}
	m.Result = &consentv1.CheckResult_Answer{Answer: answer}
	return m
}

func messagesOf(results []Result) (list []*consentv1.CheckResult) {
	for i := range results {
		list = append(list, results[i].message())
	}
	return list
}

func (r *Reply) message() *consentv1.CheckResponse {
	return &consentv1.CheckResponse{
		Results: messagesOf(r.Results), Revision: r.Revision, PolicyVersion: r.PolicyVersion, Age: durationpb.New(r.Age),
	}
}

func (a *Answers) message() *consentv1.StreamCheckResponse {
	var all []*consentv1.StreamCheckResponse
	for i := range a.List {
		one := &consentv1.StreamCheckResponse{CorrelationId: a.List[i].ID}
		if a.List[i].Status != nil {
			one.Result = &consentv1.StreamCheckResponse_Status{Status: a.List[i].Status}
		} else {
			one.Result = &consentv1.StreamCheckResponse_Check{Check: a.List[i].Check.message()}
		}
		all = append(all, one)
	}
	all[0].Also = all[1:]
	return all[0]
}

func (b *BatchReply) message() *consentv1.BatchCheckResponse {
	m := &consentv1.BatchCheckResponse{Revision: b.Revision, PolicyVersion: b.PolicyVersion, Age: durationpb.New(b.Age)}
	for _, item := range b.Items {
		m.Items = append(m.Items, &consentv1.BatchCheckItem{Results: messagesOf(item.Results), Status: item.Status})
	}
	return m
}

// What is drawn.

func drawText(t *rapid.T, what string) string {
	return rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[a-zäß/@]{1,12}`), rapid.StringMatching(`[a-z]{120,300}`)).Draw(t, what)
}

func drawQuestion(t *rapid.T) Question {
	q := Question{
		Tenant: drawText(t, "tenant"), Subject: drawText(t, "subject"), SubjectType: consentv1.SubjectType(rapid.Int32().Draw(t, "subject type")),
		SimilarGoods: rapid.Bool().Draw(t, "similar goods"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "permissions") {
		q.Permissions = append(q.Permissions, drawText(t, "permission"))
	}
	if rapid.Bool().Draw(t, "consistent") {
		q.Consistency = &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: drawText(t, "revision")}}
	}
	return q
}

func drawBatchQuestions(t *rapid.T) *BatchQuestions {
	q := &BatchQuestions{}
	common := drawQuestion(t)
	q.Tenant, q.Permissions, q.SubjectType = common.Tenant, common.Permissions, common.SubjectType
	q.SimilarGoods, q.Consistency = common.SimilarGoods, common.Consistency
	for range rapid.IntRange(0, 5).Draw(t, "questions") {
		one := drawQuestion(t)
		q.List = append(q.List, BatchQuestion{one.Subject, one.Permissions, one.SubjectType, one.SimilarGoods})
	}
	return q
}

func drawQuestions(t *rapid.T) *Questions {
	q := &Questions{}
	for range rapid.IntRange(1, 5).Draw(t, "questions") {
		one := Asked{ID: rapid.Uint64().Draw(t, "id")}
		one.Check = drawQuestion(t)
		q.List = append(q.List, one)
	}
	return q
}

func drawStatus(t *rapid.T) *statuspb.Status {
	return &statuspb.Status{Code: rapid.Int32Range(1, 16).Draw(t, "code"), Message: drawText(t, "message")}
}

func drawResult(t *rapid.T) Result {
	r := Result{Permission: drawText(t, "permission")}
	if rapid.IntRange(0, 9).Draw(t, "status") == 0 {
		r.Status = drawStatus(t)
		return r
	}
	number := rapid.OneOf(rapid.Int32Range(0, 20), rapid.Int32())
	r.Answered = true
	r.Decision = consentv1.Decision(number.Draw(t, "decision"))
	r.Reason = consentv1.Reason(number.Draw(t, "reason"))
	r.Basis = consentv1.Basis(number.Draw(t, "basis"))
	r.Obligations = Obligations(rapid.Uint64().Draw(t, "obligations"))
	if rapid.Bool().Draw(t, "changes") {
		r.NextChange = time.UnixMilli(rapid.Int64Range(-1e14, 1e14).Draw(t, "change")).UTC()
	}
	r.CacheFor = time.Duration(rapid.Int64Range(math.MinInt64/4, math.MaxInt64/4).Draw(t, "cache for"))
	return r
}

func drawResults(t *rapid.T) (list []Result) {
	for range rapid.IntRange(0, 3).Draw(t, "results") {
		list = append(list, drawResult(t))
	}
	return list
}

func drawReply(t *rapid.T) Reply {
	return Reply{
		Results: drawResults(t), Revision: drawText(t, "revision"), PolicyVersion: rapid.Int64().Draw(t, "version"),
		Age: time.Duration(rapid.Int64Range(0, math.MaxInt64/4).Draw(t, "age")),
	}
}

func drawAnswers(t *rapid.T) *Answers {
	a := &Answers{}
	for range rapid.IntRange(1, 4).Draw(t, "answers") {
		one := Answer{ID: rapid.Uint64().Draw(t, "id")}
		if rapid.IntRange(0, 9).Draw(t, "status") == 0 {
			one.Status = drawStatus(t)
		} else {
			one.Check = drawReply(t)
		}
		a.List = append(a.List, one)
	}
	return a
}

func drawBatch(t *rapid.T) *BatchReply {
	b := &BatchReply{
		Revision: drawText(t, "revision"), PolicyVersion: rapid.Int64().Draw(t, "version"),
		Age: time.Duration(rapid.Int64Range(0, math.MaxInt64/4).Draw(t, "age")),
	}
	for range rapid.IntRange(0, 4).Draw(t, "items") {
		item := Item{Results: drawResults(t)}
		if rapid.IntRange(0, 9).Draw(t, "status") == 0 {
			item.Status = drawStatus(t)
		}
		b.Items = append(b.Items, item)
	}
	return b
}

// equal compares messages of this package by what they say.
var equal = cmp.Options{
	cmp.AllowUnexported(Questions{}, Question{}, Answers{}, BatchReply{}, BatchQuestions{}), cmpopts.EquateEmpty(), protocmp.Transform(),
	cmpopts.IgnoreFields(Questions{}, "names"), cmpopts.IgnoreFields(Answers{}, "results"), cmpopts.IgnoreFields(BatchReply{}, "results", "Written"),
	cmpopts.IgnoreFields(Question{}, "size"), cmpopts.IgnoreFields(BatchQuestions{}, "names"),
}

// compare writes a message here and reads it by the generated code, and the other way round.
func compare(t *rapid.T, ours, read message, theirs, theirsRead proto.Message) {
	t.Helper()
	codec := NewCodec()
	data, err := codec.Marshal(ours)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data.Materialize(), theirsRead); err != nil {
		t.Fatalf("what is written can't be read: %v", err)
	}
	if diff := cmp.Diff(theirs, theirsRead, protocmp.Transform()); diff != "" {
		t.Errorf("what is written reads otherwise (-want +got):\n%s", diff)
	}
	written, err := proto.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(written)}, read); err != nil {
		t.Fatalf("what the generated code writes can't be read: %v", err)
	}
	if diff := cmp.Diff(ours, read, equal); diff != "" {
		t.Errorf("what the generated code writes reads otherwise (-want +got):\n%s", diff)
	}
}

// TestSaysTheSame as the generated code, in both directions.
func TestSaysTheSame(t *testing.T) {
	tests := map[string]func(*rapid.T){
		"question": func(t *rapid.T) {
			q := drawQuestion(t)
			compare(t, &q, new(Question), q.Message(), new(consentv1.CheckRequest))
		},
		"questions": func(t *rapid.T) {
			q := drawQuestions(t)
			compare(t, q, new(Questions), q.message(), new(consentv1.StreamCheckRequest))
		},
		"batch questions": func(t *rapid.T) {
			q := drawBatchQuestions(t)
			compare(t, q, new(BatchQuestions), q.Message(), new(consentv1.BatchCheckRequest))
		},
		"reply": func(t *rapid.T) {
			r := drawReply(t)
			compare(t, &r, new(Reply), r.message(), new(consentv1.CheckResponse))
		},
		"answers": func(t *rapid.T) {
			a := drawAnswers(t)
			compare(t, a, new(Answers), a.message(), new(consentv1.StreamCheckResponse))
		},
		"batch": func(t *rapid.T) {
			b := drawBatch(t)
			compare(t, b, new(BatchReply), b.message(), new(consentv1.BatchCheckResponse))
		},
	}
	for name, check := range tests {
		t.Run(name, func(t *testing.T) { rapid.Check(t, check) })
	}
}

// TestMessagesAreReadAgain into the same memory, of which nothing is left from before, and what was kept of a question stays.
func TestMessagesAreReadAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		questions, answers, batch := new(Questions), new(Answers), new(BatchQuestions)
		for range 3 {
			b := drawBatchQuestions(t)
			read(t, batch, b)
			if diff := cmp.Diff(b, batch, equal); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			q, a := drawQuestions(t), drawAnswers(t)
			read(t, questions, q)
			if diff := cmp.Diff(q, questions, equal); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			read(t, answers, a)
			if diff := cmp.Diff(a, answers, equal); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		}
	})
}

// read reads what another message writes.
func read(t *rapid.T, to, from message) {
	t.Helper()
	data, err := from.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.read(data); err != nil {
		t.Fatal(err)
	}
}

// TestMostIsEnough: no question takes more bytes among others than Most says, which the SDK counts by.
func TestMostIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuestions(t)
		most := 0
		for i := range q.List {
			most += q.List[i].Check.Most()
		}
		if data, _ := q.append(nil); len(data) > most {
			t.Errorf("%d bytes, at most %d were told", len(data), most)
		}
	})
}

// TestDeepQuestionsAreTold: questions below those below a question aren't in the list.
func TestDeepQuestionsAreTold(t *testing.T) {
	for _, deep := range []bool{false, true} {
		below := &consentv1.StreamCheckRequest{CorrelationId: 2}
		if deep {
			below.Also = []*consentv1.StreamCheckRequest{{CorrelationId: 3}}
		}
		data, err := proto.Marshal(&consentv1.StreamCheckRequest{CorrelationId: 1, Also: []*consentv1.StreamCheckRequest{below}})
		if err != nil {
			t.Fatal(err)
		}
		var q Questions
		if err := q.read(data); err != nil || q.Deep != deep || len(q.List) != 2 || !q.List[1].None {
			t.Errorf("%+v, error %v", q, err)
		}
	}
}

// TestNothingIsHeld of messages once they are reset: no text, and no list for more than is usual.
func TestNothingIsHeld(t *testing.T) {
	for _, permissions := range []int{1, mostKept + 1} {
		var questions Questions
		data, _ := (&Questions{List: []Asked{{ID: 1, Check: Question{Subject: "s", Permissions: make([]string, permissions)}}}}).append(nil)
		if err := questions.read(data); err != nil {
			t.Fatal(err)
		}
		questions.Reset()
		var answers Answers
		answers.Add(1, permissions).Check.Revision = "r"
		answers.Add(2, permissions).Check.Revision = "r"
		answers.Drop()
		answers.Reset()
		for what, held := range map[string]int{
			"questions": heldBy(questions.List), "permissions": heldBy(questions.names),
			"answers": heldBy(answers.List), "results": heldBy(answers.results),
		} {
			if held > 0 {
				t.Errorf("%d permissions: %d %s are held", permissions, held, what)
			}
		}
	}
}

// heldBy returns how many elements are left in the memory of a list, or its size if that is more than is to be kept.
func heldBy[T any](list []T) (held int) {
	if cap(list) > mostKept {
		return cap(list)
	}
	for _, one := range list[:cap(list)] {
		if !reflect.ValueOf(&one).Elem().IsZero() {
			held++
		}
	}
	return held
}

// FuzzReading gives bytes to both: either both can't read them, or both read the same.
func FuzzReading(f *testing.F) {
	seed := func(m proto.Message) {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	answer := &consentv1.Answer{
		Decision: 1, Reason: 2, Basis: 3, Obligations: []consentv1.Obligation{1, 2, -1, 70}, CacheFor: durationpb.New(time.Second),
		NextChange: timestamppb.New(time.UnixMilli(1)),
	}
	reply := &consentv1.CheckResponse{Revision: "r", PolicyVersion: -1, Age: durationpb.New(-1), Results: []*consentv1.CheckResult{
		{Permission: "a/b", Result: &consentv1.CheckResult_Answer{Answer: answer}},
	}}
	check := &consentv1.CheckRequest{Tenant: "t", Subject: "s", Permissions: []string{"a", ""}, SubjectType: 2, SimilarGoods: true}
	seed(check)
	seed(&consentv1.StreamCheckRequest{CorrelationId: 1, Check: check, Also: []*consentv1.StreamCheckRequest{{CorrelationId: 2, Check: check}}})
	seed(reply)
	seed(&consentv1.StreamCheckResponse{CorrelationId: 1 << 63, Result: &consentv1.StreamCheckResponse_Check{Check: reply}})
	seed(&consentv1.BatchCheckRequest{
		Tenant: "t", Permissions: []string{"a"}, SubjectType: 1, SimilarGoods: true, Consistency: &consentv1.Consistency{},
		Questions: []*consentv1.CheckQuestion{{Subject: "s"}, {Subject: "u", Permissions: []string{"a", ""}, SubjectType: 2, SimilarGoods: true}},
	})
	seed(&consentv1.BatchCheckResponse{Items: []*consentv1.BatchCheckItem{{Results: reply.GetResults()}}, Age: durationpb.New(1)})
	f.Fuzz(func(t *testing.T, data []byte) {
		agreeOnAll(t, data)
	})
}

// agreeOnAll compares for each message.
func agreeOnAll(t rapid.TB, data []byte) {
	t.Helper()
	agree(t, data, new(Question), new(consentv1.CheckRequest), (*Question).set)
	agree(t, data, new(Questions), new(consentv1.StreamCheckRequest), (*Questions).setAll)
	agree(t, data, new(Reply), new(consentv1.CheckResponse), (*Reply).Set)
	agree(t, data, new(Answers), new(consentv1.StreamCheckResponse), (*Answers).setAll)
	agree(t, data, new(BatchQuestions), new(consentv1.BatchCheckRequest), (*BatchQuestions).set)
	agree(t, data, new(BatchReply), new(consentv1.BatchCheckResponse), (*BatchReply).set)
}

// agree compares what is read here with what the generated code reads.
func agree[M any, P interface {
	*M
	message
}, G proto.Message](t rapid.TB, data []byte, ours P, theirs G, set func(P, G)) {
	t.Helper()
	ourErr, theirErr := ours.read(data), proto.Unmarshal(data, theirs)
	if (ourErr == nil) != (theirErr == nil) {
		t.Fatalf("%x as %T: %v, the generated code: %v", data, ours, ourErr, theirErr)
	}
	if theirErr != nil {
		return
	}
	want := P(new(M))
	set(want, theirs)
	if diff := cmp.Diff(want, ours, equal); diff != "" {
		t.Fatalf("%x (-the generated code +here):\n%s", data, diff)
	}
}

// TestQuestionsAllocateOnce for all of their texts, and answers on their way out not at all.
func TestQuestionsAllocateOnce(t *testing.T) {
	asked, given := twenty()
	data, _ := asked.append(nil)
	space := make([]byte, 0, given.most())
	var questions Questions
	if got := testing.AllocsPerRun(100, func() { _ = questions.read(data) }); got > 1 {
		t.Errorf("reading 20 questions allocates %v times", got)
	}
	if got := testing.AllocsPerRun(100, func() { _, _ = given.append(space) }); got > 0 {
		t.Errorf("writing 20 answers allocates %v times", got)
	}
}
