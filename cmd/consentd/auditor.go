package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/consentd/consentd/client/mailinglist"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const (
	auditAtOnce     = 16  // questions on their way
	auditWaiting    = 256 // answers that wait for an earlier one
	maxSuppose      = 100 // events that one question may suppose
	auditDuplicates = "duplicate of a row before"
)

// auditor asks about every row of a list, and keeps their order.
type auditor struct {
	cli      *cli
	server   *connection
	flags    *auditFlags
	list     *mailinglist.Reader
	gathered *mailinglist.Gathered // what all rows of a subject say; nil if only the records count
	progress *progress

	out     auditOutput
	reasons map[string]auditReason
	unsplit int // rejected rows that can't be written back
}

// auditReason is what is said of a reason in the summary.
type auditReason struct{ decision, advice string }

func newAuditor(c *cli, server *connection, f *auditFlags, list *mailinglist.Reader) *auditor {
	return &auditor{
		cli: c, server: server, flags: f, list: list, progress: c.newProgress(),
		out: auditOutput{ByReason: map[string]int{}}, reasons: map[string]auditReason{},
	}
}

// auditRow is a row and its answer, which is there once ready is closed.
type auditRow struct {
	mailinglist.Row
	answer      *consentv1.Explanation
	rejected    error
	ready       chan struct{}
	done, total int64
}

// run reads in one goroutine, asks in some, and writes here.
func (a *auditor) run(ctx context.Context, sink *auditSink) error {
	group, ctx := errgroup.WithContext(ctx)
	rows := make(chan *auditRow, auditWaiting)
	group.Go(func() error {
		defer close(rows)
		return a.ask(ctx, rows)
	})
	group.Go(func() error {
		for row := range rows {
			select {
			case <-row.ready:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := a.take(row, sink); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// ask reads the rows, hands them on in order, and starts a question for each.
func (a *auditor) ask(ctx context.Context, rows chan<- *auditRow) error {
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(auditAtOnce)
	for asking.Err() == nil {
		read, err := a.list.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		row := &auditRow{Row: read, ready: make(chan struct{})}
		row.done, row.total = a.list.Progress()
		select {
		case rows <- row:
		case <-asking.Done():
		}
		group.Go(func() error {
			defer close(row.ready)
			return a.explain(asking, row)
		})
	}
	return group.Wait()
}

// explain asks about one row. That the row can't be used isn't an error of the audit.
func (a *auditor) explain(ctx context.Context, row *auditRow) error {
	events, err := a.suppose(row)
	if err != nil {
		row.rejected = err
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.cli.timeout)
	defer cancel()
	var reply *consentv1.ExplainResponse
	err = retry(ctx, func(ctx context.Context) (err error) {
		reply, err = a.server.permissions.Explain(ctx, &consentv1.ExplainRequest{
			Tenant: a.cli.tenant, Subject: row.Subject, Permissions: []string{a.flags.permission},
			SimilarGoods: a.flags.similarGoods, Suppose: events,
		})
		return err
	})
	if s, isStatus := status.FromError(err); err != nil && isStatus && s.Code() == codes.InvalidArgument {
		_, details := statusDetails(s)
		row.rejected = errors.New(s.Message() + details)
		return nil
	}
	if err != nil {
		return err
	}
	if len(reply.GetExplanations()) != 1 {
		return fmt.Errorf("the server gave %d explanations for one permission", len(reply.GetExplanations()))
	}
	row.answer = reply.GetExplanations()[0]
	return status.FromProto(row.answer.GetStatus()).Err()
}

// suppose returns what the list itself says of the row's subject. If it says more than can be asked at once, nothing is asked: what would
// be left out may be a withdrawal.
func (a *auditor) suppose(row *auditRow) ([]*consentv1.Event, error) {
	if a.gathered == nil {
		return nil, row.Err
	}
	events, err := a.gathered.Events(row.Row)
	if err == nil && len(events) > maxSuppose {
		err = fmt.Errorf("the list says %d things of this subject, and %d can be judged at once: import it first", len(events), maxSuppose)
	}
	return events, err
}

// take counts a row and writes it back.
func (a *auditor) take(row *auditRow, sink *auditSink) error {
	a.out.Rows++
	a.progress.show(uint64(a.out.Rows), row.done, row.total)
	if row.rejected != nil {
		a.out.Rejected++
		a.progress.messagef("%s:%d: rejected: %s", row.File, row.Line, row.rejected)
		err := sink.write(row.Row, auditCells{decision: "REJECTED", advice: row.rejected.Error()})
		if errors.Is(err, mailinglist.ErrUnsplit) {
			a.unsplit++
			return nil
		}
		return err
	}
	cells := newAuditCells(row.answer)
	if row.LeftOut != nil {
		a.progress.messagef("%s", leftOut(row.Row))
	}
	switch {
	case row.Duplicate:
		a.out.Duplicates++
		cells.advice = strings.TrimPrefix(cells.advice+separator+auditDuplicates, separator)
		return sink.write(row.Row, cells)
	case cells.decision == nameOf(consentv1.Decision_DECISION_ALLOW):
		a.out.Allowed++
	default:
		a.out.Denied++
	}
	a.out.ByReason[cells.reason]++
	if seen := a.reasons[cells.reason]; seen.decision == "" {
		a.reasons[cells.reason] = auditReason{decision: cells.decision, advice: adviceFor(row.answer)}
	}
	return sink.write(row.Row, cells)
}

// adviceFor is what would mend the condition that decided.
func adviceFor(answer *consentv1.Explanation) string {
	for _, failed := range answer.GetFailed() {
		if failed.GetReason() == answer.GetAnswer().GetReason() {
			return failed.GetAdvice()
		}
	}
	return ""
}

// separator stands between several values in a cell.
const separator = "; "

// auditCells are the columns that audit adds to a list.
type auditCells struct{ decision, reason, basis, obligations, failed, remedy, advice string }

func auditColumns() []string {
	return []string{"decision", "reason", "basis", "obligations", "failed_conditions", "remedy", "advice"}
}

func (c auditCells) row() []string {
	return []string{c.decision, c.reason, c.basis, c.obligations, c.failed, c.remedy, c.advice}
}

// newAuditCells shows an answer. What would mend something is said of denials alone.
func newAuditCells(explanation *consentv1.Explanation) auditCells {
	answer := explanation.GetAnswer()
	cells := auditCells{
		decision:    decisionName(answer.GetDecision()),
		reason:      nameOf(answer.GetReason()),
		obligations: strings.Join(obligationNames(answer.GetObligations()), separator),
	}
	if answer.GetBasis() != consentv1.Basis_BASIS_UNSPECIFIED {
		cells.basis = nameOf(answer.GetBasis())
	}
	var failed, remedies, advice []string
	for _, condition := range explanation.GetFailed() {
		failed = append(failed, fmt.Sprintf("%s: %s", nameOf(condition.GetReason()), condition.GetDetail()))
		remedies = appendNew(remedies, nameOf(condition.GetRemedy()))
		advice = appendNew(advice, condition.GetAdvice())
	}
	cells.failed = strings.Join(failed, separator)
	if answer.GetDecision() != consentv1.Decision_DECISION_ALLOW {
		cells.remedy, cells.advice = strings.Join(remedies, separator), strings.Join(advice, separator)
	}
	return cells
}

func appendNew(list []string, text string) []string {
	if text == "" || slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// auditSink takes the list back, or nothing.
type auditSink struct {
	file   *outFile
	writer *mailinglist.Writer
}

func openAuditSink(path string, list *mailinglist.Reader, inputs []string) (*auditSink, error) {
	if path == "" {
		return &auditSink{}, nil
	}
	file, err := createOut(path, inputs...)
	if err != nil {
		return nil, err
	}
	writer, err := mailinglist.NewWriter(file, list, auditColumns()...)
	if err != nil {
		file.discard()
		return nil, err
	}
	return &auditSink{file: file, writer: writer}, nil
}

func (s *auditSink) write(row mailinglist.Row, cells auditCells) error {
	if s.writer == nil {
		return nil
	}
	return s.writer.Write(row, cells.row()...)
}

func (s *auditSink) keep() error {
	if s.writer == nil {
		return nil
	}
	if err := s.writer.Flush(); err != nil {
		return err
	}
	return s.file.keep()
}

func (s *auditSink) discard() {
	if s.file != nil {
		s.file.discard()
	}
}
