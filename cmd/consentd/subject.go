package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

func newSubjectCommand(c *cli) *cobra.Command {
	return newGroup("subject", "Show what is recorded of a subject", newSubjectShowCommand(c), newSubjectHistoryCommand(c))
}

// subjectOutput is what subject show prints. The record is null if nothing is known.
type subjectOutput struct {
	Subject  string  `json:"subject"`
	Revision string  `json:"revision"`
	Record   *object `json:"record"`
}

func newSubjectShowCommand(c *cli) *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:     "show SUBJECT",
		Short:   "Show the record: what counts now",
		Example: "  consentd subject show anna@example.com",
		Args:    oneSubject,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.showSubject(cmd.Context(), &q, args[0])
		}),
	}
	q.addConsistency(cmd)
	return cmd
}

func oneSubject(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageErrorf("name one subject, and nothing else")
	}
	return subjectAndMore(cmd, args)
}

func (c *cli) showSubject(ctx context.Context, q *question, subject string) error {
	var reply *consentv1.GetRecordResponse
	err := c.call(ctx, func(ctx context.Context, server *connection) (err error) {
		reply, err = server.records.GetRecord(ctx, &consentv1.GetRecordRequest{
			Tenant: c.tenant, Subject: subject, Consistency: q.consistency(),
		})
		return err
	})
	if err != nil {
		return err
	}
	out := subjectOutput{Subject: subject, Revision: reply.GetRevision()}
	if reply.GetRecord() == nil {
		c.messagef("consentd: nothing is recorded of this subject")
	} else {
		record := messageOutput(reply.GetRecord())
		out.Record = &record
	}
	return c.print(out, func(w io.Writer) { printRecord(w, reply.GetRecord()) })
}

func printRecord(w io.Writer, record *consentv1.SubjectRecord) {
	if record == nil {
		return
	}
	printPermissions(w, record.GetPermissions())
	printMarks(w, record.GetMarks())
	printFacts(w, record)
}

func printPermissions(w io.Writer, permissions []*consentv1.PermissionRecord) {
	if len(permissions) == 0 {
		return
	}
	fmt.Fprintln(w, "PERMISSION\tSTATE\tSINCE\tNOTICE\tPROVEN\tEXPLICIT\tCONFIRMED\tLAST USED\tVALID FROM\tEXPIRES")
	for _, p := range permissions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%t\t%t\t%s\t%s\t%s\t%s\n", p.GetPermission(), nameOf(p.GetState()), cell(p.GetSince()),
			p.GetNoticeVersion(), p.GetProven(), p.GetExplicit(), cell(p.GetConfirmedAt()), cell(p.GetLastUsedAt()),
			cell(p.GetValidFrom()), cell(p.GetExpiresAt()))
	}
	fmt.Fprintln(w)
}

func printMarks(w io.Writer, marks []*consentv1.Mark) {
	if len(marks) == 0 {
		return
	}
	fmt.Fprintln(w, "LATEST\tCOVERS\tAT")
	for _, m := range marks {
		kind := nameOf(m.GetKind())
		if m.GetObjection() != 0 {
			kind += " to " + nameOf(m.GetObjection())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", kind, scopeText(m.GetScope()), cell(m.GetAt()))
	}
	fmt.Fprintln(w)
}

func printFacts(w io.Writer, record *consentv1.SubjectRecord) {
	if attributes := record.GetAttributes(); attributes != nil {
		for _, m := range messageOutput(attributes) {
			fmt.Fprintf(w, "%s:\t%v\n", m.name, m.value)
		}
	}
	for _, fact := range []struct {
		name string
		at   *timestamppb.Timestamp
	}{
		{"erased", record.GetErasedAt()}, {"suppressed", record.GetSuppressedAt()}, {"restricted", record.GetRestrictedAt()},
		{"newest event", record.GetNewestEventAt()},
	} {
		if fact.at != nil {
			fmt.Fprintf(w, "%s:\t%s\n", fact.name, cell(fact.at))
		}
	}
	fmt.Fprintf(w, "revision:\t%s\n", record.GetRevision())
}

// cell is a time in a table.
func cell(at *timestamppb.Timestamp) string {
	if at == nil {
		return "-"
	}
	return timeText(at.AsTime())
}

func scopeText(scope *consentv1.Scope) string {
	covered := append([]string{}, scope.GetPermissions()...)
	for _, purpose := range scope.GetPurposes() {
		covered = append(covered, purpose+"/*")
	}
	for _, channel := range scope.GetChannels() {
		covered = append(covered, "*/"+channel)
	}
	if len(covered) == 0 {
		return "everything"
	}
	return strings.Join(covered, ", ")
}

// historyOutput is what subject history prints.
type historyOutput struct {
	Subject  string   `json:"subject"`
	Revision string   `json:"revision"`
	Events   []object `json:"events"`
}

func newSubjectHistoryCommand(c *cli) *cobra.Command {
	var retained bool
	var q question
	cmd := &cobra.Command{
		Use:     "history SUBJECT",
		Short:   "Show every event, oldest first",
		Example: "  consentd subject history anna@example.com -o json",
		Args:    oneSubject,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.showHistory(cmd.Context(), &q, args[0], retained)
		}),
	}
	cmd.Flags().BoolVar(&retained, "include-retained", false,
		"also show what an erasure left because it must be kept, until it is due (Sec. 7a UWG)")
	q.addConsistency(cmd)
	return cmd
}

func (c *cli) showHistory(ctx context.Context, q *question, subject string, retained bool) error {
	out := historyOutput{Subject: subject, Events: []object{}}
	var events []*consentv1.RecordedEvent
	request := &consentv1.ListEventsRequest{
		Tenant: c.tenant, Subject: subject, PageSize: 1000, Consistency: q.consistency(), IncludeRetained: retained,
	}
	for more := true; more; more = request.GetPageToken() != "" {
		err := c.call(ctx, func(ctx context.Context, server *connection) error {
			reply, err := server.records.ListEvents(ctx, request)
			events = append(events, reply.GetEvents()...)
			out.Revision, request.PageToken = reply.GetRevision(), reply.GetNextPageToken()
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, event := range events {
		out.Events = append(out.Events, messageOutput(event))
	}
	if len(events) == 0 {
		c.messagef("consentd: nothing is recorded of this subject")
	}
	return c.print(out, func(w io.Writer) { printHistory(w, events) })
}

func printHistory(w io.Writer, events []*consentv1.RecordedEvent) {
	if len(events) == 0 {
		return
	}
	fmt.Fprintln(w, "OCCURRED\tEVENT\tCOVERS\tDETAILS\tWRITTEN\tREVISION")
	for _, recorded := range events {
		event := recorded.GetEvent()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", cell(event.GetOccurredAt()), nameOf(event.GetKind()), eventScope(event),
			orDash(eventDetails(recorded)), cell(recorded.GetStamp()), recorded.GetRevision())
	}
}

// eventScope is empty for facts about the subject, which cover nothing.
func eventScope(event *consentv1.Event) string {
	if event.GetKind() == consentv1.EventKind_EVENT_KIND_ATTRIBUTES_SET {
		return "-"
	}
	return scopeText(event.GetScope())
}

// eventDetails is what an event says beside time, kind and scope, as record takes it.
func eventDetails(recorded *consentv1.RecordedEvent) string {
	event := recorded.GetEvent()
	var words []string
	switch event.GetKind() {
	case consentv1.EventKind_EVENT_KIND_OBJECTED, consentv1.EventKind_EVENT_KIND_OBJECTION_LIFTED:
		words = append(words, "objection="+objectionText(event.GetObjection()))
	}
	if at := event.GetGrantAt(); at != nil {
		words = append(words, "grant_at="+cell(at))
	}
	if evidence := event.GetEvidence(); evidence != nil {
		words = append(words, pairs(messageOutput(evidence))...)
	}
	if terms := event.GetTerms(); terms != nil {
		words = append(words, pairs(messageOutput(terms))...)
	}
	if attributes := event.GetAttributes(); attributes != nil {
		words = append(words, pairs(messageOutput(attributes))...)
	}
	if until := recorded.GetRetainedUntil(); until != nil {
		words = append(words, "retained_until="+cell(until))
	}
	return strings.Join(words, " ")
}

// objectionText is what an objection is to. One that doesn't say is to both.
func objectionText(kind consentv1.ObjectionKind) string {
	if kind == consentv1.ObjectionKind_OBJECTION_KIND_UNSPECIFIED {
		return "both"
	}
	return nameOf(kind)
}

// pairs are the members of an object as key=value.
func pairs(o object) []string {
	var words []string
	for _, m := range o {
		text := fmt.Sprint(m.value)
		if strings.ContainsAny(text, " \t\"") {
			text = strconv.Quote(text)
		}
		words = append(words, m.name+"="+text)
	}
	return words
}
