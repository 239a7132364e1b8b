package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/client/mailinglist"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// auditFlags are what audit takes beside the files.
type auditFlags struct {
	question
	format        string
	permission    string
	column        string
	noticeVersion uint32
	at            instant
	out           string
}

func newAuditCommand(c *cli) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit FILE ...",
		Short: "Find out who on old lists may still be contacted, and what would mend the rest",
		Long: `Find out which addresses of old lists may still be contacted, why not the others, and what would mend
each: attach the proof, record the sale, use another channel, or don't contact. Nothing is written
to the records.

With --format mailchimp, what the exports themselves say is supposed beside what is recorded, so that
a first audit needs no import. With --format csv only the records count.

--out writes the list back with the columns decision, reason, basis, obligations, failed_conditions,
remedy and advice. Write only to rows whose decision is ALLOW.`,
		Example: `  consentd audit export.zip --format mailchimp --permission newsletter/email --notice-version 3 --out audited.csv
  consentd audit customers.csv --permission newsletter/post --column Mail -o json`,
		Args: someFiles,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.audit(cmd.Context(), &f, args)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", string(mailinglist.CSV), "mailchimp or csv")
	flags.StringVar(&f.permission, "permission", "", "what the list is for, as newsletter/email")
	flags.StringVar(&f.column, "column", "", "the column that holds the subjects; found out if left out")
	flags.Uint32Var(&f.noticeVersion, "notice-version", 0, "of mailchimp: the version of the notice that was shown, which exports don't say")
	flags.Var(&f.at, "at", "of mailchimp: the time of rows without one of their own; they can't be used if this is left out")
	flags.StringVar(&f.out, "out", "", "the CSV `FILE` to write the list back to")
	cobra.CheckErr(cmd.MarkFlagRequired("permission"))
	f.addSimilarGoods(cmd)
	return cmd
}

// listOptions is how the files are to be read.
func (f *auditFlags) listOptions(stdin io.Reader) (mailinglist.Options, error) {
	o := mailinglist.Options{Permission: f.permission, Column: f.column}
	switch format, err := mailinglist.ParseFormat(f.format); {
	case err != nil || format == mailinglist.NDJSON:
		return o, usageErrorf("--format %q: choose mailchimp or csv", f.format)
	case format == mailinglist.Mailchimp: // it is read twice, as standard input can't be
		o.Format, o.NoticeVersion, o.At = format, f.noticeVersion, f.at.Time
	case f.noticeVersion != 0 || !f.at.IsZero():
		return o, usageErrorf("--notice-version and --at are for mailchimp: of csv only the subjects are read")
	default:
		o.Format, o.SubjectsOnly, o.Stdin = format, true, stdin
	}
	return o, nil
}

func (c *cli) audit(ctx context.Context, f *auditFlags, paths []string) error {
	options, err := f.listOptions(c.stdin)
	if err != nil {
		return err
	}
	if err := options.Validate(); err != nil {
		return usageErrorf("%w", err)
	}
	list, err := mailinglist.Open(paths, options)
	if err != nil {
		return err
	}
	defer list.Close() //nolint:errcheck // it was only read
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.close()
	if err := c.needPermission(ctx, server, f.permission); err != nil {
		return err
	}
	a := newAuditor(c, server, f, list)
	if options.Format == mailinglist.Mailchimp {
		if a.gathered, err = mailinglist.Gather(paths, options); err != nil {
			return err
		}
	}
	sink, err := openAuditSink(f.out, list, paths)
	if err != nil {
		return err
	}
	defer sink.discard()
	err = a.run(ctx, sink)
	a.progress.clear()
	if err != nil {
		return err
	}
	if err := sink.keep(); err != nil {
		return err
	}
	if err := c.print(a.out, a.table); err != nil {
		return err
	}
	c.adviseAfterAudit(f, a)
	return nil
}

// auditOutput is what audit prints. Each row counts once: as rejected if it can't be used, else as a duplicate if a row before had the
// same subject, else as allowed or denied.
type auditOutput struct {
	Rows       int            `json:"rows"`
	Allowed    int            `json:"allowed"`
	Denied     int            `json:"denied"`
	ByReason   map[string]int `json:"by_reason"`
	Rejected   int            `json:"rejected"`
	Duplicates int            `json:"duplicates"`
}

func (a *auditor) table(w io.Writer) {
	fmt.Fprintf(w, "rows\t%d\nallowed\t%d\ndenied\t%d\nrejected\t%d\nduplicates\t%d\n", a.out.Rows, a.out.Allowed, a.out.Denied,
		a.out.Rejected, a.out.Duplicates)
	if len(a.out.ByReason) == 0 {
		return
	}
	fmt.Fprintln(w, "\nREASON\tDECISION\tROWS\tWHAT TO DO")
	for _, name := range byCount(a.out.ByReason) {
		seen := a.reasons[name]
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", name, seen.decision, a.out.ByReason[name], orDash(seen.advice))
	}
}

// adviseAfterAudit says what comes next.
func (c *cli) adviseAfterAudit(f *auditFlags, a *auditor) {
	if c.format != formatTable {
		return
	}
	if a.unsplit > 0 && f.out != "" {
		c.messagef("consentd: %d rejected rows couldn't be split into columns, and aren't in %s", a.unsplit, f.out)
	}
	var next []string
	if f.out == "" {
		next = append(next, "--out FILE.csv writes the list back with a decision and a remedy for each row")
	} else {
		next = append(next, fmt.Sprintf("%s has a decision and a remedy for each row: contact only those with ALLOW", f.out))
	}
	if a.gathered != nil && f.noticeVersion == 0 && a.out.ByReason[nameOf(consentv1.Reason_REASON_NOTICE_OUTDATED)] > 0 {
		next = append(next, "--notice-version says which notice was shown: the exports don't, and an unknown one counts as outdated")
	}
	if a.gathered == nil {
		next = append(next, "only the records were asked: what the list itself says counts once 'consentd import' has recorded it")
	} else {
		next = append(next, "'consentd import' records what the lists say, so that it counts from now on")
	}
	c.messagef("Next: %s.", strings.Join(next, "; "))
}
