package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/client/mailinglist"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// The size of a chunk of subjects, which has to fit into a message.
const (
	segmentSubjects = 20_000
	segmentBytes    = 1 << 20
)

// unusable is the reason byte of an id that can't be used.
const unusable consent.Reason = 0

// segmentOutput is what segment prints. Subjects are allowed, denied or unusable, each once.
type segmentOutput struct {
	Permission    string         `json:"permission"`
	Subjects      int            `json:"subjects"`
	Allowed       int            `json:"allowed"`
	Denied        int            `json:"denied"`
	Unusable      int            `json:"unusable"`
	ByReason      map[string]int `json:"by_reason"`
	PolicyVersion int64          `json:"policy_version"`
	Revision      string         `json:"revision"`
}

// segmentFlags are what segment takes.
type segmentFlags struct {
	question
	in, column, out string
}

func newSegmentCommand(c *cli) *cobra.Command {
	var f segmentFlags
	cmd := &cobra.Command{
		Use:   "segment PERMISSION",
		Short: "Decide one permission for a list of subjects",
		Long: `Decide one permission for a list of subjects, one a line or in a column of a CSV file.

The ids that are allowed go to --out, one a line, or to standard output. An --out that ends in .csv
gets every subject with its decision and reason instead. With -o json or yaml, standard output
holds the summary, and the ids go to --out alone.`,
		Example: `  consentd segment newsletter/email --in subjects.txt --out allowed.txt
  consentd segment recommendations/web --in users.csv --column user_id --out decided.csv`,
		Args: onePermission,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.segment(cmd.Context(), &f, args[0])
		}),
	}
	cmd.Flags().StringVar(&f.in, "in", "", "the list: a `FILE`, or - for standard input")
	cmd.Flags().StringVar(&f.column, "column", "", "the column of a CSV file that holds the ids")
	cmd.Flags().StringVar(&f.out, "out", "", "the `FILE` to write")
	cobra.CheckErr(cmd.MarkFlagRequired("in"))
	f.addConsistency(cmd)
	f.addSubject(cmd)
	return cmd
}

func onePermission(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usageErrorf("name one permission, as newsletter/email")
	}
	return nil
}

// segment streams the list through the server.
func (c *cli) segment(ctx context.Context, f *segmentFlags, permission string) error {
	list, err := mailinglist.Open([]string{f.in}, mailinglist.Options{
		Format: mailinglist.CSV, SubjectsOnly: true, Unmarked: true, Column: f.column, Stdin: c.stdin,
	})
	if err != nil {
		return err
	}
	defer list.Close() //nolint:errcheck // it was only read
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.close()
	sink, err := c.openSegmentSink(f)
	if err != nil {
		return err
	}
	defer sink.discard()

	s := &segment{
		list: list, sink: sink, progress: c.newProgress(),
		out: segmentOutput{Permission: permission, ByReason: map[string]int{}},
		ask: &consentv1.Segment{
			Tenant: c.tenant, Permission: permission, SubjectType: f.subjectType(), SimilarGoods: f.similarGoods,
			Consistency: f.consistency(), Form: consentv1.SegmentForm_SEGMENT_FORM_REASONS,
		},
	}
	err = exchange(ctx, c.timeout, func(ctx context.Context) (stream[consentv1.CheckSegmentRequest, consentv1.CheckSegmentResponse], error) {
		return openSegment(ctx, server, s.ask)
	}, s.next, s.take)
	s.progress.clear()
	if err != nil {
		return c.namePermissions(ctx, err, permission)
	}
	if err := sink.keep(); err != nil {
		return err
	}
	return c.printSegment(f, s.out)
}

func openSegment(
	ctx context.Context, server *connection, ask *consentv1.Segment,
) (stream[consentv1.CheckSegmentRequest, consentv1.CheckSegmentResponse], error) {
	calls, err := server.permissions.CheckSegment(ctx)
	if err != nil {
		return nil, err
	}
	err = calls.Send(&consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Segment{Segment: ask}})
	if errors.Is(err, io.EOF) { // the stream is broken, and receiving tells why
		err = nil
	}
	return calls, err
}

// segment is one run: next reads in the goroutine that sends, take writes in the one that receives.
type segment struct {
	list     *mailinglist.Reader
	ask      *consentv1.Segment
	sink     *segmentSink
	progress *progress
	out      segmentOutput
	ended    bool
}

// segmentChunk is a chunk on its way.
type segmentChunk struct {
	rows        []mailinglist.Row
	done, total int64
}

func (s *segment) next() (segmentChunk, *consentv1.CheckSegmentRequest, error) {
	var chunk segmentChunk
	list := &consentv1.SubjectList{}
	for !s.ended && len(chunk.rows) < segmentSubjects && len(list.Packed) < segmentBytes {
		row, err := s.list.Next()
		if errors.Is(err, io.EOF) {
			s.ended = true
			break
		}
		if err != nil {
			return chunk, nil, err
		}
		chunk.rows = append(chunk.rows, row)
		id := row.Subject
		if row.Err != nil {
			id = "" // which is unusable to the server too
		}
		list.Packed = append(list.Packed, id...)
		list.Lengths = append(list.Lengths, uint32(len(id)))
	}
	chunk.done, chunk.total = s.list.Progress()
	if len(chunk.rows) == 0 {
		return chunk, nil, io.EOF
	}
	return chunk, &consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Subjects{Subjects: list}}, nil
}

func (s *segment) take(chunk segmentChunk, reply *consentv1.CheckSegmentResponse) error {
	if s.out.Revision == "" { // later ones are at least as new
		s.out.Revision = reply.GetRevision()
	}
	s.out.PolicyVersion = reply.GetPolicyVersion()
	if len(reply.GetAnswers()) != len(chunk.rows) {
		return fmt.Errorf("the server answered %d of %d subjects", len(reply.GetAnswers()), len(chunk.rows))
	}
	for i, row := range chunk.rows {
		if err := s.count(row, consent.Reason(reply.GetAnswers()[i])); err != nil {
			return err
		}
	}
	s.progress.show(uint64(s.out.Subjects), chunk.done, chunk.total)
	return nil
}

func (s *segment) count(row mailinglist.Row, reason consent.Reason) error {
	s.out.Subjects++
	if row.Err != nil || reason == unusable {
		s.out.Unusable++
		why := row.Err
		if why == nil {
			why = errors.New("the id can't be used: it is empty, longer than 256 bytes, or not UTF-8")
		}
		s.progress.messagef("%s:%d: %s", row.File, row.Line, why)
		return s.sink.write(row.Subject, "", "")
	}
	name := nameOf(consentv1.Reason(reason))
	s.out.ByReason[name]++
	decision := consentv1.Decision_DECISION_DENY
	if reason.Allows() {
		decision = consentv1.Decision_DECISION_ALLOW
		s.out.Allowed++
	} else {
		s.out.Denied++
	}
	return s.sink.write(row.Subject, nameOf(decision), name)
}

// printSegment prints the summary: as a message, where the ids took standard output.
func (c *cli) printSegment(f *segmentFlags, out segmentOutput) error {
	table := func(w io.Writer) {
		fmt.Fprintf(w, "%d subjects: %d allowed, %d denied, %d unusable, at revision %s\n", out.Subjects, out.Allowed, out.Denied,
			out.Unusable, out.Revision)
		printCounts(w, out.ByReason)
	}
	if c.format == formatTable && f.out == "" {
		return tabulate(c.stderr, table)
	}
	return c.print(out, table)
}

// printCounts prints how many there are of each, most first.
func printCounts(w io.Writer, counts map[string]int) {
	for _, name := range byCount(counts) {
		fmt.Fprintf(w, "  %s\t%d\n", name, counts[name])
	}
}

// byCount returns the names, that with the highest count first.
func byCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
}

// segmentSink takes the list of the segment: the allowed ids, or a CSV of all.
type segmentSink struct {
	file  *outFile // nil for standard output, and for nothing
	lines *bufio.Writer
	csv   bool
}

func (c *cli) openSegmentSink(f *segmentFlags) (*segmentSink, error) {
	if f.out == "" {
		if c.format != formatTable {
			return &segmentSink{lines: bufio.NewWriter(io.Discard)}, nil
		}
		return &segmentSink{lines: bufio.NewWriter(c.stdout)}, nil
	}
	file, err := createOut(f.out, f.in)
	if err != nil {
		return nil, err
	}
	sink := &segmentSink{file: file, lines: bufio.NewWriter(file), csv: strings.EqualFold(filepath.Ext(f.out), ".csv")}
	if sink.csv {
		_, err = sink.lines.WriteString("subject,decision,reason\n")
	}
	return sink, err
}

func (s *segmentSink) write(subject, decision, reason string) error {
	var err error
	switch {
	case s.csv:
		_, err = fmt.Fprintf(s.lines, "%s,%s,%s\n", csvCell(subject), decision, reason)
	case decision == nameOf(consentv1.Decision_DECISION_ALLOW):
		_, err = s.lines.WriteString(subject + "\n")
	}
	return err
}

func (s *segmentSink) keep() error {
	if err := s.lines.Flush(); err != nil {
		return err
	}
	if s.file == nil {
		return nil
	}
	return s.file.keep()
}

func (s *segmentSink) discard() {
	if s.file != nil {
		s.file.discard()
	}
}

// csvCell quotes what RFC 4180 wants quoted.
func csvCell(text string) string {
	if !strings.ContainsAny(text, ",\"\r\n") {
		return text
	}
	return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
}
