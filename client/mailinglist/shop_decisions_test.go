package mailinglist

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// What examples/shop/README.md expects of an address is what the law says after its lists were read: every table there is tried. An
// address is one in backticks in the first cell of a row, what is expected of it the first word in capitals in the last.
func TestShopReadmeIsRight(t *testing.T) {
	readme, err := os.ReadFile(shop + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	var (
		book       = newBook(t)
		addresses  = regexp.MustCompile("`([^`]+@[^`]+)`")
		reasons    = regexp.MustCompile("`([A-Z_]+)`")
		permission string
		question   consent.Question
		tried      int
	)
	for text := range strings.Lines(string(readme)) {
		if heading, found := strings.CutPrefix(text, "## What to expect: `"); found {
			file, _, _ := strings.Cut(heading, "`")
			book.read(t, file)
			permission, question = "newsletter/email", consent.Question{SimilarGoods: file == "kunden.csv"}
			if file == "calls.ndjson" {
				permission = "newsletter/phone"
			}
			continue
		}
		cells := strings.Split(text, "|")
		if len(cells) != 5 || !reasons.MatchString(cells[3]) {
			continue
		}
		for _, address := range addresses.FindAllStringSubmatch(cells[1], -1) {
			tried++
			want := reasons.FindStringSubmatch(cells[3])[1]
			got := book.decide(t, address[1], permission, question)
			if got.Reason.String() != want || got.Allowed != strings.HasPrefix(strings.TrimSpace(cells[3]), "ALLOW") &&
				!strings.HasPrefix(strings.TrimSpace(cells[3]), "as above") {
				t.Errorf("%s, %s: %s (%t), the README says %s", address[1], permission, got.Reason, got.Allowed, want)
			}
		}
	}
	if tried < 50 {
		t.Errorf("%d addresses were found in the README: are its tables as this test reads them?", tried)
	}
}

// The README counts the subjects of the ZIP by what is decided of them.
func TestShopReadmeCountsRight(t *testing.T) {
	readme, err := os.ReadFile(shop + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	book, counts := newBook(t), map[string]int{}
	book.read(t, "mailchimp.zip")
	for _, row := range all(t, open(t, shopLists[0].o, shop+"mailchimp.zip")) {
		if row.Err == nil && !row.Duplicate {
			counts[book.decide(t, row.Subject, "newsletter/email", consent.Question{}).Reason.String()]++
		}
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, counts[reason]))
	}
	want := "Of the subjects: " + strings.Join(parts, ", ") + "."
	if !strings.Contains(strings.ReplaceAll(string(readme), "\n", " "), want) {
		t.Errorf("the README doesn't say: %s", want)
	}
}

// book is what is known of everybody on the shop's lists.
type book struct {
	policy  *consent.Policy
	names   *consent.Names
	history map[string][]consent.Event
}

func newBook(t *testing.T) *book {
	t.Helper()
	document, err := os.ReadFile(shop + "policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := consent.ParsePolicy(document)
	if err != nil {
		t.Fatal(err)
	}
	b := &book{history: map[string][]consent.Event{}}
	if b.policy, b.names, err = policy.Bind(1, &consent.Names{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// read adds the events of one of the shop's lists. Each must be one that the server takes.
func (b *book) read(t *testing.T, file string) {
	t.Helper()
	for _, list := range shopLists {
		if list.file != file {
			continue
		}
		for _, row := range all(t, open(t, list.o, shop+file)) {
			for _, e := range row.Events {
				event := lawEvent(t, e)
				if err := consent.ValidateEvent(event); err != nil {
					t.Errorf("%s:%d: %v", row.File, row.Line, err)
				}
				subject := normalSubject(row.Subject)
				b.history[subject] = append(b.history[subject], event)
			}
		}
		return
	}
	t.Errorf("the README speaks of %s, which no test reads", file)
}

func (b *book) decide(t *testing.T, subject, permission string, q consent.Question) consent.Decision {
	t.Helper()
	p := b.policy.Permission(permission)
	if p == nil {
		t.Fatalf("the policy doesn't declare %s", permission)
	}
	record := consent.FoldHistory(b.history[normalSubject(subject)], consent.FoldContext{Tenant: 1, Names: b.names, Index: 1})
	return consent.Decide(p, record, q, consent.TimeOf(shopNow))
}

// lawEvent returns an event of the contract as the law knows it.
func lawEvent(t *testing.T, e *consentv1.Event) consent.Event {
	t.Helper()
	at := func(ts *timestamppb.Timestamp) consent.Time {
		if ts == nil {
			return 0
		}
		return consent.TimeOf(ts.AsTime())
	}
	a := e.GetAttributes()
	event := consent.Event{
		Kind: consent.EventKind(e.GetKind()), OccurredAt: at(e.GetOccurredAt()), Objection: consent.ObjectionKind(e.GetObjection()),
		Scope: consent.Scope{
			Permissions: e.GetScope().GetPermissions(), Purposes: e.GetScope().GetPurposes(), Channels: e.GetScope().GetChannels(),
		},
		Evidence: consent.Evidence{
			NoticeVersion: e.GetEvidence().GetNoticeVersion(), NoticeHash: string(e.GetEvidence().GetNoticeHash()),
			Method: consent.Method(e.GetEvidence().GetMethod()), Source: e.GetEvidence().GetSource(), Reference: e.GetEvidence().GetReference(),
		},
		Attributes: consent.Attributes{Relationship: consent.Relationship(a.GetRelationship())},
	}
	if a != nil {
		event.Attributes.AddressFromSale, event.Attributes.OptOutNoticeGiven = a.AddressFromSale, a.OptOutNoticeGiven
		event.Attributes.ContractActive, event.Attributes.Country = a.ContractActive, a.Country
	}
	if a != nil && a.BirthDate != nil {
		born, err := time.Parse(time.DateOnly, a.GetBirthDate())
		if err != nil {
			t.Fatal(err)
		}
		event.Attributes.BirthDate = &consent.Date{Year: uint16(born.Year()), Month: uint8(born.Month()), Day: uint8(born.Day())}
	}
	return event
}
