package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrSchema is returned when a report is of a form that this program doesn't read.
var ErrSchema = errors.New("unknown form of report")

// summarized is a report with what its figures came to over the runs. Readers of ours compute that anew.
type summarized struct {
	*Report
	Summary map[string]Spread `json:"summary,omitempty"`
}

// WriteJSON writes a report as ReadReport reads it, beside a summary of each figure over the runs, times in microseconds.
func WriteJSON(w io.Writer, r *Report) error {
	text, err := json.MarshalIndent(summarized{r, r.summary()}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the report as JSON: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

func (r *Report) summary() map[string]Spread {
	all := map[string]Spread{}
	for _, name := range append(Figures(), r.extraNames()...) {
		if s, _, found := r.Spread(name); found {
			all[name] = s
		}
	}
	return all
}

// ReadReport reads what WriteJSON wrote. It ignores fields that it doesn't know. It returns ErrSchema if the report is of another major
// number, whose fields have another meaning.
func ReadReport(from io.Reader) (*Report, error) {
	text, err := io.ReadAll(from)
	if err != nil {
		return nil, fmt.Errorf("reading the report: %w", err)
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("this isn't a report of consentd bench (%w): write one with -o json", err)
	}
	if err := checkSchema(head.Schema); err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("a field of the report can't be read: %w", err)
	}
	for n := range r.Runs {
		if err := r.Runs[n].unseal(); err != nil {
			return nil, fmt.Errorf("run %d: %w", n+1, err)
		}
	}
	return r, nil
}

// checkSchema lets pass what has the name and the major number of Schema.
func checkSchema(schema string) error {
	name, ours, _ := strings.Cut(Schema, "/")
	number, found := strings.CutPrefix(schema, name+"/")
	major, _, _ := strings.Cut(number, ".")
	got, err := strconv.ParseUint(major, 10, 32)
	switch want, _ := strconv.ParseUint(ours, 10, 32); {
	case !found || err != nil:
		return fmt.Errorf("%w: its schema is %q and not %s: write one with consentd bench -o json", ErrSchema, schema, Schema)
	case got > want:
		return fmt.Errorf("%w: %q is of a newer consentd, this one reads %s: use the newer one", ErrSchema, schema, Schema)
	case got < want:
		return fmt.Errorf("%w: %q is of an older consentd, this one reads %s: measure again, or use the older one", ErrSchema, schema, Schema)
	}
	return nil
}
