package mailinglist

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// now is when the tests read their lists.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// writeList writes a file into a folder of the test's own, and returns its path.
func writeList(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeZIP writes a ZIP of names and contents, in that order.
func writeZIP(t *testing.T, entries ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lists.zip")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	archive := zip.NewWriter(out)
	for i := 0; i < len(entries); i += 2 {
		w, err := archive.Create(entries[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, entries[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// open opens lists that must be usable.
func open(t *testing.T, o Options, paths ...string) *Reader {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = now
	}
	r, err := Open(paths, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// all reads the rest of a reader.
func all(t *testing.T, r *Reader) []Row {
	t.Helper()
	var rows []Row
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
}

// openError opens lists that can't be, and returns why.
func openError(t *testing.T, o Options, paths ...string) string {
	t.Helper()
	r, err := Open(paths, o)
	if err == nil {
		t.Fatalf("opened, want an error; the header is %q", r.Header())
	}
	return err.Error()
}

// brief writes what a row says in one line, for tables.
func brief(row Row) string {
	if row.Err != nil {
		return "! " + row.Err.Error()
	}
	var parts []string
	for _, e := range row.Events {
		parts = append(parts, briefEvent(e))
	}
	if row.LeftOut != nil {
		parts = append(parts, "but "+row.LeftOut.Error())
	}
	return strings.Join(parts, "; ")
}

func briefEvent(e *consentv1.Event) string {
	b := strings.Builder{}
	kind := strings.ToLower(strings.TrimPrefix(e.Kind.String(), "EVENT_KIND_"))
	fmt.Fprintf(&b, "%s %s", kind, briefTime(e.OccurredAt))
	scope := slices.Concat(e.Scope.GetPermissions(), e.Scope.GetPurposes(), e.Scope.GetChannels())
	if len(scope) == 0 {
		scope = []string{"all"}
	}
	fmt.Fprintf(&b, " %s", strings.Join(scope, ","))
	if ev := e.Evidence; ev != nil {
		if ev.NoticeVersion != 0 {
			fmt.Fprintf(&b, " v%d", ev.NoticeVersion)
		}
		if len(ev.NoticeHash) > 0 {
			fmt.Fprintf(&b, " #%x", ev.NoticeHash[:2])
		}
		if ev.Method != 0 || ev.Source != "" || ev.Reference != "" {
			method := strings.ToLower(strings.TrimPrefix(ev.Method.String(), "METHOD_"))
			fmt.Fprintf(&b, " by %s from %s in %s", method, ev.Source, ev.Reference)
		}
	}
	if terms := e.Terms; terms != nil {
		fmt.Fprintf(&b, " explicit=%t from=%s until=%s", terms.Explicit, briefTime(terms.ValidFrom), briefTime(terms.ExpiresAt))
	}
	if e.Objection != 0 {
		fmt.Fprintf(&b, " to %s", strings.ToLower(strings.TrimPrefix(e.Objection.String(), "OBJECTION_KIND_")))
	}
	if a := e.Attributes; a != nil {
		fmt.Fprintf(&b, " %s", briefAttributes(a))
	}
	return b.String()
}

func briefAttributes(a *consentv1.Attributes) string {
	var parts []string
	if a.Relationship != 0 {
		parts = append(parts, strings.ToLower(strings.TrimPrefix(a.Relationship.String(), "RELATIONSHIP_")))
	}
	for _, f := range []struct {
		name  string
		value *bool
	}{
		{"sale", a.AddressFromSale}, {"notice", a.OptOutNoticeGiven}, {"contract", a.ContractActive}, {"business", a.Business},
		{"guardian", a.GuardianAuthorised},
	} {
		if f.value != nil {
			parts = append(parts, fmt.Sprintf("%s=%t", f.name, *f.value))
		}
	}
	if a.BirthDate != nil {
		parts = append(parts, "born="+*a.BirthDate)
	}
	if a.Country != nil {
		parts = append(parts, "country="+*a.Country)
	}
	return strings.Join(parts, " ")
}

func briefTime(at *timestamppb.Timestamp) string {
	if at == nil {
		return "-"
	}
	return at.AsTime().Format("2006-01-02T15:04:05.999")
}
