package mailinglist

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/consentd/consentd/consent"
)

// Format is how a list is written.
type Format string

// The formats.
const (
	Mailchimp Format = "mailchimp" // exports of Mailchimp audiences
	CSV       Format = "csv"       // columns mapped by Options.Columns
	NDJSON    Format = "ndjson"    // one consent.v1.Event as JSON a line
)

// ParseFormat returns the format of a name, and an error that lists the formats for any other.
func ParseFormat(name string) (Format, error) {
	switch format := Format(strings.ToLower(name)); format {
	case Mailchimp, CSV, NDJSON:
		return format, nil
	}
	return "", fmt.Errorf("format %q: choose %s, %s or %s", name, Mailchimp, CSV, NDJSON)
}

// Options say how lists are read.
type Options struct {
	// Format is required.
	Format Format
	// Permission is what the grants of the list are for, as "newsletter/email". Mailchimp needs one with a channel, CSV one unless
	// only facts about subjects are mapped, and NDJSON none: its events say it themselves.
	Permission string
	// NoticeVersion is that of every grant that names none of its own. 0: unknown.
	NoticeVersion uint32
	// At is the time of rows that have none of their own. Zero: such rows can't be used.
	At time.Time
	// Columns map the fields of CSV (see Fields) to the names of columns.
	Columns map[string]string
	// Column is the one that holds the subjects. Empty: it is found by its name.
	Column string
	// Delimiter separates the cells of CSV. 0: found out for each file, among comma, semicolon and tab.
	Delimiter rune
	// Encoding is utf-8, windows-1252 or utf-16. Empty: found out for each file.
	Encoding string
	// SubjectsOnly reads CSV for its subjects alone, without events. Then a file of one column may lack a header.
	SubjectsOnly bool
	// Unmarked leaves Row.Duplicate unset, and so keeps no note of who came before: memory stays the same for a list of any length.
	Unmarked bool
	// Stdin is read for the path "-". It can be read once, so its encoding is judged by its first 64 KiB.
	Stdin io.Reader
	// Now is the time that no "yes" may be later than. Zero: the clock's, when the row is read.
	Now time.Time
}

func (o *Options) now() time.Time {
	if o.Now.IsZero() {
		return time.Now()
	}
	return o.Now
}

// Validate says what of the options contradicts itself, or can't be. Open says the same.
func (o Options) Validate() error { return o.normalize() }

// normalize fills in what is left to choose, and refuses what contradicts itself.
func (o *Options) normalize() error {
	if _, err := ParseFormat(string(o.Format)); err != nil {
		return err
	}
	encoding, err := parseEncoding(o.Encoding)
	if err != nil {
		return err
	}
	o.Encoding = encoding
	if d := o.Delimiter; d != 0 && (d == '"' || d == '\r' || d == '\n' || d == utf8.RuneError || !utf8.ValidRune(d)) {
		return fmt.Errorf("delimiter %q can't separate cells", d)
	}
	if !o.At.IsZero() && !recordable(o.At) {
		return fmt.Errorf("the time %s can't be recorded: choose one from 1970 to 2248", o.At.Format(time.RFC3339))
	}
	if o.Format == CSV {
		return o.normalizeColumns()
	}
	if len(o.Columns) > 0 {
		return fmt.Errorf("fields are mapped for the format %s alone, and %s names its own", CSV, o.Format)
	}
	if o.Column != "" && o.Format == NDJSON {
		return fmt.Errorf("there are no columns in the format %s: each event says its subject", NDJSON)
	}
	if _, channel := o.scope(); o.Format == Mailchimp && channel == "" {
		return fmt.Errorf("permission %q: Mailchimp reaches people over a channel, so name one, as newsletter/email", o.Permission)
	}
	return nil
}

// normalizeColumns checks the mapping, and makes Column the one place where the subject's column stands.
func (o *Options) normalizeColumns() error {
	about, facts := false, false
	for name, column := range o.Columns {
		f, known := fieldByName(name)
		if !known {
			return fmt.Errorf("field %q isn't known: map one of %s", name, strings.Join(Fields(), ", "))
		}
		if strings.TrimSpace(column) == "" {
			return fmt.Errorf("field %s is mapped to no column", name)
		}
		about = about || f.group == eventField || f.group == evidenceField
		facts = facts || f.group == factField
	}
	if _, both := o.Columns["customer"]; both && o.Columns["relationship"] != "" {
		return errors.New("map customer or relationship, not both: they say the same")
	}
	if subject := o.Columns["subject"]; subject != "" {
		if o.Column != "" && o.Column != subject {
			return fmt.Errorf("the subject is said to be in column %q and in column %q: name one", o.Column, subject)
		}
		o.Column = subject
	}
	_, channel := o.scope()
	switch {
	case o.SubjectsOnly:
	case o.Permission == "" && (about || !facts):
		return errors.New("name the permission that this list is about, as newsletter/email")
	case o.Columns["undeliverable_at"] != "" && channel == "":
		return fmt.Errorf("permission %q: what can't be delivered fails on a channel, so name one, as newsletter/email", o.Permission)
	}
	return nil
}

// UndatedFacts returns the facts that are mapped although nothing says since when they hold: of a row that states
// one, only a "no" can be used.
func (o Options) UndatedFacts() []string {
	if o.Columns["facts_at"] != "" || !o.At.IsZero() {
		return nil
	}
	var names []string
	for _, f := range fields {
		if f.group == factField && o.Columns[f.name] != "" {
			names = append(names, f.name)
		}
	}
	return names
}

// scope splits the permission into purpose and channel, which is empty for a purpose without channels.
func (o *Options) scope() (purpose, channel string) {
	purpose, channel, _ = strings.Cut(o.Permission, "/")
	return purpose, channel
}

func recordable(t time.Time) bool {
	at := consent.TimeOf(t)
	return at >= consent.MinTime && at <= consent.MaxTime
}
