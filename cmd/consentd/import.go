package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/client/mailinglist"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// importFlags are what import takes beside the files.
type importFlags struct {
	format        string
	permission    string
	noticeVersion uint32
	at            instant
	column        string
	columns       []string
	delimiter     string
	encoding      string
	dryRun        bool
}

func newImportCommand(c *cli) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE ...",
		Short: "Record what mailing lists say",
		Long: `Record what mailing lists say: exports of Mailchimp audiences, CSV files whose columns are mapped, or
NDJSON with one event a line. Files may be ZIPs, folders, or - for standard input.

A row that can't be used is reported with its line and reason, and stops nothing. A file that can't
be read, or a column that isn't there, is an error before anything is written. The same import again
changes nothing (but where a "no" is dated later than now), so one that was interrupted is run again.
The exit code is 1 if there were rows and none could be used.

Fields that columns of CSV can be mapped to: ` + strings.Join(mailinglist.Fields(), ", ") + `.`,
		Example: `  consentd import export.zip --format mailchimp --permission newsletter/email --notice-version 3
  consentd import list.csv --format csv --permission newsletter/email --map subject=Mail --map granted_at="Opt-in"
  consentd import events.ndjson --format ndjson`,
		Args: someFiles,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.importLists(cmd.Context(), &f, args)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", "", "mailchimp, csv or ndjson")
	flags.StringVar(&f.permission, "permission", "", "what the grants of the list are for, as newsletter/email")
	flags.Uint32Var(&f.noticeVersion, "notice-version", 0, "the version of the notice that was shown, where the list doesn't say")
	flags.Var(&f.at, "at", "the time of rows without one of their own; they can't be used if this is left out")
	flags.StringVar(&f.column, "column", "", "the column that holds the subjects; found out if left out")
	flags.StringArrayVar(&f.columns, "map", nil, "`field=column` of a CSV file; may be repeated")
	flags.StringVar(&f.delimiter, "delimiter", "", "what separates the cells of a CSV file, or tab; found out if left out")
	flags.StringVar(&f.encoding, "encoding", "", "utf-8, windows-1252 or utf-16; found out if left out")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what it would do, and write nothing")
	cobra.CheckErr(cmd.MarkFlagRequired("format"))
	return cmd
}

func someFiles(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageErrorf("name the files to read")
	}
	return nil
}

// listOptions is how the files are to be read.
func (f *importFlags) listOptions(stdin io.Reader) (mailinglist.Options, error) {
	o := mailinglist.Options{
		Permission: f.permission, NoticeVersion: f.noticeVersion, At: f.at.Time, Column: f.column, Encoding: f.encoding,
		Stdin: stdin, Unmarked: true,
	}
	var err error
	if o.Format, err = mailinglist.ParseFormat(f.format); err != nil {
		return o, usageErrorf("--%w", err)
	}
	if o.Delimiter, err = parseDelimiter(f.delimiter); err != nil {
		return o, err
	}
	for _, mapping := range f.columns {
		field, column, ok := strings.Cut(mapping, "=")
		if !ok || column == "" {
			return o, usageErrorf("--map %q: write field=column", mapping)
		}
		if !slices.Contains(mailinglist.Fields(), field) {
			return o, usageErrorf("--map %q: there is no field %s; there are %s", mapping, field, strings.Join(mailinglist.Fields(), ", "))
		}
		if o.Columns == nil {
			o.Columns = map[string]string{}
		}
		if _, twice := o.Columns[field]; twice {
			return o, usageErrorf("--map %q: the field is mapped already", mapping)
		}
		o.Columns[field] = column
	}
	return o, nil
}

func parseDelimiter(text string) (rune, error) {
	if text == "tab" || text == `\t` {
		return '\t', nil
	}
	c, size := utf8.DecodeRuneInString(text)
	switch {
	case text == "":
		return 0, nil
	case size != len(text):
		return 0, usageErrorf("--delimiter %q is more than one character", text)
	}
	return c, nil
}

func (c *cli) importLists(ctx context.Context, f *importFlags, paths []string) error {
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
	if f.permission != "" {
		if err := c.needPermission(ctx, server, f.permission); err != nil {
			return err
		}
	}
	if facts := options.UndatedFacts(); len(facts) > 0 {
		c.messagef("consentd: nothing says since when %s hold, so that rows that state one aren't used, but for a \"no\": map facts_at, or give --at",
			strings.Join(facts, ", "))
	}
	i := newImporter(c, list, f.dryRun)
	err = i.run(ctx, server)
	i.progress.clear()
	if err != nil {
		i.reportSoFar()
		return err
	}
	if err := c.print(i.out, i.out.table(f.dryRun)); err != nil {
		return err
	}
	if i.out.Rows > 0 && i.out.Rejected == i.out.Rows {
		return errors.New("no row could be used")
	}
	return nil
}

// needPermission finds a misspelt permission before a whole list is read.
func (c *cli) needPermission(ctx context.Context, server *connection, permission string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	reply, err := server.policies.GetPolicy(ctx, &consentv1.GetPolicyRequest{Tenant: c.tenant})
	if err != nil {
		return err
	}
	permissions := reply.GetPolicy().GetPermissions()
	if !slices.Contains(permissions, permission) {
		return c.noPermission(permission, permissions)
	}
	return nil
}
