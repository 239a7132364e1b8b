package server

import (
	"context"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

const maxSupposed = 100 // events of one question

// Explain walks the decision table row by row.
func (s *permissionService) Explain(ctx context.Context, r *consentv1.ExplainRequest) (*consentv1.ExplainResponse, error) {
	if s.near != nil { // what is held is cut to what decides
		reply := new(consentv1.ExplainResponse)
		return reply, s.passQuestion(ctx, consentv1.PermissionService_Explain_FullMethodName, r, reply)
	}
	question, err := questionOf(r.GetSubjectType(), r.GetSimilarGoods())
	if err != nil {
		return nil, err
	}
	if n := len(r.GetPermissions()); n > maxPermissions {
		return nil, invalid("permissions", "%d permissions: ask for up to %d, or for none to explain all", n, maxPermissions)
	}
	weight, err := s.gate.enterLarge(maxPermissions)
	if err != nil {
		return nil, err
	}
	defer s.gate.leave(weight)
	view, tenant, err := s.look(ctx, r.GetTenant(), r.GetConsistency())
	if err != nil {
		return nil, err
	}
	record, err := s.supposedRecord(ctx, tenant, r)
	if err != nil {
		return nil, err
	}
	now := s.now()
	age, fresh := view.Age(now)
	if !fresh {
		return nil, consent.ErrStale
	}
	left := view.Bound - age
	if len(r.GetSuppose()) > 0 {
		left = 0 // nobody may act on what is only supposed
	}
	reply := &consentv1.ExplainResponse{
		Revision: s.token(view.Revision), PolicyVersion: policyVersion(tenant), Age: durationpb.New(age),
	}
	for _, name := range askedOrAll(r.GetPermissions(), tenant) {
		reply.Explanations = append(reply.Explanations, explain(tenant, name, record, question, now, left))
	}
	return reply, nil
}

func askedOrAll(asked []string, t *consent.Tenant) []string {
	if len(asked) > 0 || t.Policy == nil {
		return asked
	}
	return permissionNames(t.Policy)
}

func permissionNames(p *consent.Policy) []string {
	names := make([]string, len(p.Permissions))
	for i := range p.Permissions {
		names[i] = p.Permissions[i].Name
	}
	return names
}

// supposedRecord returns the subject's record, as it would be with the events that are supposed beside its history.
func (s *permissionService) supposedRecord(
	ctx context.Context, t *consent.Tenant, r *consentv1.ExplainRequest,
) (consent.Record, error) {
	subject, err := subjectOf(r.GetSubject(), t)
	if err != nil {
		return nil, err
	}
	supposed, err := supposedEvents(r.GetSuppose(), subject, t, consent.TimeOf(s.now()))
	if err != nil {
		return nil, err
	}
	record, err := s.state.Record(ctx, t, subject, new(consent.Buffer))
	if err != nil || len(supposed) == 0 {
		return record, err
	}
	history, err := s.wholeHistory(ctx, t, subject)
	if err != nil {
		return nil, err
	}
	return foldSupposed(t, record, history, supposed), nil
}

// supposedEvents validates what is supposed. An event without a time is refused, because what is supposed has happened at some time, and so
// is one of the future, unless it is a "no": taken as of now, it would outdo a withdrawal that it comes before.
func supposedEvents(list []*consentv1.Event, subject string, t *consent.Tenant, now consent.Time) ([]consent.Event, error) {
	if n := len(list); n > maxSupposed {
		return nil, invalid("suppose", "%d events: suppose up to %d", n, maxSupposed)
	}
	events := make([]consent.Event, 0, len(list))
	for i, e := range list {
		field := fmt.Sprintf("suppose[%d]", i)
		event, err := eventOf(e)
		if err != nil {
			return nil, within(field, err)
		}
		if event.OccurredAt == 0 {
			return nil, invalid(field+".occurred_at", "it is missing: say when it is supposed to have happened")
		}
		if event.OccurredAt > now && !event.IsNo() {
			return nil, invalid(field+".occurred_at", `only a "no" may lie in the future`)
		}
		if form, _ := consent.Door(e.GetSubject(), t.KeepsCase()); e.GetSubject() != "" && form != subject {
			return nil, invalid(field+".subject", "it is another subject than the one asked for: leave it out")
		}
		if err := checkDeclared(event, t); err != nil {
			return nil, err
		}
		events = append(events, event.Clamped(now))
	}
	return events, nil
}

// within names a part of the request before the fields that are wrong in it.
func within(part string, err error) error {
	var bad invalidError
	if bad.add(part, err) {
		return &bad
	}
	return err
}

// wholeHistory returns the events that the record is folded from.
func (c *core) wholeHistory(ctx context.Context, t *consent.Tenant, subject string) ([]consent.Event, error) {
	var history []consent.Event
	page := consent.HistoryPage{Limit: maxPage}
	for {
		events, more, err := c.records.History(ctx, t, subject, page)
		if err != nil {
			return nil, err
		}
		for i := range events {
			history = append(history, events[i].Event)
		}
		if !more || len(events) == 0 {
			return history, nil
		}
		last := events[len(events)-1]
		page.AfterTime, page.AfterIndex, page.AfterOrdinal = last.Event.OccurredAt, last.Index, last.Ordinal
	}
}

// foldSupposed folds a history again with the events that are supposed, over names of their own.
func foldSupposed(t *consent.Tenant, r consent.Record, history, supposed []consent.Event) consent.Record {
	c := consent.FoldContext{Tenant: t.Number, Names: t.Names, Index: r.Index()}
	for i := range supposed {
		if names, err := c.Names.AddScope(supposed[i].Scope); err == nil {
			c.Names = names // with too many names a "no" covers everything, and a "yes" nothing
		}
	}
	for i := range supposed {
		var keep bool
		if r, _, keep = consent.FoldLate(r, history, supposed[i], c); keep {
			history = append(history, supposed[i])
		}
	}
	return r
}

func explain(
	t *consent.Tenant, name string, r consent.Record, q consent.Question, now time.Time, left time.Duration,
) *consentv1.Explanation {
	permission := permissionOf(t, name)
	if permission == nil {
		return &consentv1.Explanation{Permission: name, Status: unknownPermission(name)}
	}
	e := consent.Explain(permission, r, q, consent.TimeOf(now))
	explanation := &consentv1.Explanation{Permission: name, Answer: protoAnswer(e.Decision, now, left)}
	for i := range e.Steps {
		explanation.Steps = append(explanation.Steps, protoStep(&e.Steps[i]))
	}
	for i := range e.Failed {
		explanation.Failed = append(explanation.Failed, protoFailed(&e.Failed[i]))
	}
	return explanation
}

func protoAnswer(d consent.Decision, now time.Time, left time.Duration) *consentv1.Answer {
	answer := &consentv1.Answer{
		Decision: decisionOf(d.Allowed), Reason: consentv1.Reason(d.Reason), Basis: consentv1.Basis(d.Basis),
		Obligations: obligationsOf(d.Obligations), NextChange: timestamp(d.NextChange),
	}
	if keep := cacheFor(d.NextChange.Std(), now, left); keep > 0 {
		answer.CacheFor = durationpb.New(keep)
	}
	return answer
}

func protoStep(s *consent.Step) *consentv1.Step {
	return &consentv1.Step{
		Row: s.Row, Basis: consentv1.Basis(s.Basis), Condition: s.Condition, Matched: s.Matched, Decision: decisionOf(s.Allows),
		Reason: consentv1.Reason(s.Reason), Facts: s.Facts, Source: s.Source,
	}
}

func protoFailed(f *consent.FailedCondition) *consentv1.FailedCondition {
	return &consentv1.FailedCondition{
		Row: f.Row, Basis: consentv1.Basis(f.Basis), Reason: consentv1.Reason(f.Reason), Detail: f.Detail,
		Remedy: consentv1.Remedy(f.Remedy), Advice: f.Advice, Source: f.Source,
	}
}
