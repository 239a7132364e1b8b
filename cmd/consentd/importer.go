package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/consentd/consentd/client/mailinglist"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const (
	importRows    = 500 // in one message
	importEvents  = 2_000
	listedRejects = 100 // in the output; standard error has all
)

// importOutput is what import prints. Each row counts once: as rejected if it can't be used; else as written if any of its events changed
// the record; else as superseded if something counts more than any of them; else as unchanged. Partial are those among the latter three of
// which each "no" was used and the rest couldn't be.
type importOutput struct {
	Rows       int            `json:"rows"`
	Written    int            `json:"written"`
	Unchanged  int            `json:"unchanged"`
	Superseded int            `json:"superseded"`
	Rejected   int            `json:"rejected"`
	ByReason   map[string]int `json:"by_reason"`
	Revision   string         `json:"revision"`
	Partial    int            `json:"partial"`
	Rejects    []rejectOutput `json:"rejects"`
}

// rejectOutput is a row that can't be used.
type rejectOutput struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func (out *importOutput) table(dryRun bool) func(io.Writer) {
	return func(w io.Writer) {
		would := ""
		if dryRun {
			would = "would be "
		}
		fmt.Fprintf(w, "%d rows: %s%d written, %d unchanged, %d superseded, %d rejected", out.Rows, would, out.Written, out.Unchanged,
			out.Superseded, out.Rejected)
		if out.Partial > 0 {
			fmt.Fprintf(w, ", %d used in part", out.Partial)
		}
		if out.Revision != "" {
			fmt.Fprintf(w, ", at revision %s", out.Revision)
		}
		fmt.Fprintln(w)
		if out.Rejected > 0 {
			fmt.Fprintln(w, "rejected:")
			printCounts(w, out.ByReason)
		}
	}
}

// importer sends a list in chunks, and after a broken connection goes on with the first that wasn't acknowledged. Rows sent twice change
// nothing; but those whose acknowledgement was lost count as unchanged.
type importer struct {
	cli      *cli
	list     *mailinglist.Reader
	dryRun   bool
	progress *progress
	out      importOutput

	mutex      sync.Mutex     // next and take run beside each other
	unanswered []*importChunk // sent, in order
	again      []*importChunk // to be sent once more
	ended      bool
	advanced   bool // since the last attempt began
}

// importChunk is one message and the rows it is about.
type importChunk struct {
	rows        []mailinglist.Row // including those that aren't sent
	request     *consentv1.ImportEventsRequest
	done, total int64
}

func newImporter(c *cli, list *mailinglist.Reader, dryRun bool) *importer {
	return &importer{
		cli: c, list: list, dryRun: dryRun, progress: c.newProgress(),
		out: importOutput{ByReason: map[string]int{}, Rejects: []rejectOutput{}},
	}
}

// run imports the list. It gives up when nothing was acknowledged for as long as the timeout; and at once when the first attempt finds
// nobody, because then the server was never there.
func (i *importer) run(ctx context.Context, server *connection) error {
	var pause backoff
	begun, last := false, time.Now()
	for {
		err := exchange(ctx, i.cli.timeout, i.opener(server), i.next, i.take)
		if err == nil || !transient(err) {
			return err
		}
		i.again, i.unanswered = append(i.unanswered, i.again...), nil
		begun = begun || !neverSent(status.Convert(err).Message())
		if i.advanced {
			begun, last, i.advanced, pause = true, time.Now(), false, backoff{}
		}
		if !begun || time.Since(last) > i.cli.timeout || !pause.wait(ctx) {
			return err
		}
		i.progress.messagef("consentd: the connection broke: going on from row %d", i.out.Rows+1)
	}
}

func (i *importer) opener(
	server *connection,
) func(context.Context) (stream[consentv1.ImportEventsRequest, consentv1.ImportEventsResponse], error) {
	return func(ctx context.Context) (stream[consentv1.ImportEventsRequest, consentv1.ImportEventsResponse], error) {
		calls, err := server.records.ImportEvents(ctx)
		if err != nil {
			return nil, err
		}
		err = calls.Send(&consentv1.ImportEventsRequest{Message: &consentv1.ImportEventsRequest_Import{
			Import: &consentv1.Import{Tenant: i.cli.tenant, ValidateOnly: i.dryRun},
		}})
		if errors.Is(err, io.EOF) { // the stream is broken, and receiving tells why
			err = nil
		}
		return calls, err
	}
}

// next returns the next chunk to send.
func (i *importer) next() (*importChunk, *consentv1.ImportEventsRequest, error) {
	chunk := i.nextAgain()
	if chunk == nil {
		var err error
		if chunk, err = i.read(); err != nil { // without the lock: standard input may keep us waiting
			return nil, nil, err
		}
	}
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if chunk.request == nil { // the last rows of the list: nothing is sent, so no reply will count them
		i.count(chunk, nil)
		return nil, nil, io.EOF
	}
	i.unanswered = append(i.unanswered, chunk)
	return chunk, chunk.request, nil
}

// nextAgain returns the next chunk that has to be sent once more, or nil.
func (i *importer) nextAgain() *importChunk {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if len(i.again) == 0 {
		return nil
	}
	chunk := i.again[0]
	i.again = i.again[1:]
	return chunk
}

// read makes a chunk of the next rows.
func (i *importer) read() (*importChunk, error) {
	chunk := &importChunk{}
	var rows []*consentv1.ImportRow
	for events := 0; !i.ended && len(rows) < importRows && events < importEvents; {
		row, err := i.list.Next()
		if errors.Is(err, io.EOF) {
			i.ended = true
			break
		}
		if err != nil {
			return nil, err
		}
		chunk.rows = append(chunk.rows, row)
		if sent(row) {
			rows = append(rows, &consentv1.ImportRow{Row: row.Number, Events: row.Events})
			events += len(row.Events)
		}
	}
	chunk.done, chunk.total = i.list.Progress()
	if len(rows) > 0 {
		chunk.request = &consentv1.ImportEventsRequest{
			Message: &consentv1.ImportEventsRequest_Rows{Rows: &consentv1.ImportRows{Rows: rows}},
		}
	}
	return chunk, nil
}

// sent says whether a row has anything that the server could record.
func sent(row mailinglist.Row) bool { return row.Err == nil && len(row.Events) > 0 }

// take counts what became of a chunk. A row that failed for a moment only isn't rejected: the chunk is sent again.
func (i *importer) take(chunk *importChunk, reply *consentv1.ImportEventsResponse) error {
	results := map[uint64]*consentv1.ImportRowResult{}
	for _, result := range reply.GetResults() {
		if failure := result.GetStatus(); failure != nil && isTransient(failure) {
			return status.FromProto(failure).Err()
		}
		results[result.GetRow()] = result
	}
	for _, row := range chunk.rows {
		if sent(row) && results[row.Number] == nil {
			return fmt.Errorf("the server says nothing of row %d", row.Number)
		}
	}
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.unanswered = i.unanswered[1:]
	i.advanced = true
	i.out.Revision = reply.GetRevision()
	i.count(chunk, results)
	return nil
}

func (i *importer) count(chunk *importChunk, results map[uint64]*consentv1.ImportRowResult) {
	for _, row := range chunk.rows {
		i.out.Rows++
		switch result := results[row.Number]; {
		case row.Err != nil:
			i.reject(row, rowReason(row.Err), row.Err.Error())
		case result.GetStatus() != nil:
			_, details := statusDetails(status.FromProto(result.GetStatus()))
			i.reject(row, reasonOf(result.GetStatus()), result.GetStatus().GetMessage()+details)
		default:
			i.out.countEffects(result.GetEffects())
			i.noteLeftOut(row)
		}
	}
	i.progress.show(uint64(i.out.Rows), chunk.done, chunk.total)
}

// countEffects counts a row by the strongest of its events' effects.
func (out *importOutput) countEffects(effects []consentv1.Effect) {
	superseded := false
	for _, effect := range effects {
		switch effect {
		case consentv1.Effect_EFFECT_APPLIED:
			out.Written++
			return
		case consentv1.Effect_EFFECT_SUPERSEDED:
			superseded = true
		}
	}
	if superseded {
		out.Superseded++
	} else {
		out.Unchanged++
	}
}

// rowReason is why the reader can't use a row.
func rowReason(err error) string {
	var unusable *mailinglist.RowError
	if errors.As(err, &unusable) {
		return unusable.Reason()
	}
	return "UNUSABLE_ROW"
}

func (i *importer) reject(row mailinglist.Row, reason, message string) {
	i.out.Rejected++
	i.out.ByReason[reason]++
	i.progress.messagef("%s:%d: rejected: %s (%s)", row.File, row.Line, message, reason)
	if len(i.out.Rejects) < listedRejects {
		i.out.Rejects = append(i.out.Rejects, rejectOutput{File: row.File, Line: row.Line, Reason: reason, Message: message})
	}
}

// noteLeftOut says why not all of a row was used.
func (i *importer) noteLeftOut(row mailinglist.Row) {
	if row.LeftOut == nil {
		return
	}
	i.out.Partial++
	i.progress.messagef("%s", leftOut(row))
}

// leftOut says of a row why nothing but each "no" in it counts.
func leftOut(row mailinglist.Row) string {
	return fmt.Sprintf("%s:%d: used in part, for its \"no\" alone: %s (%s)", row.File, row.Line, row.LeftOut, rowReason(row.LeftOut))
}

// reportSoFar says what an import that failed has done all the same.
func (i *importer) reportSoFar() {
	if i.out.Rows > 0 && !i.dryRun {
		i.cli.messagef("consentd: %d rows were dealt with (%d written) before the import failed: run it again, what is written changes nothing",
			i.out.Rows, i.out.Written)
	}
}
