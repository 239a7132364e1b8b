package consent

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplainSteps(t *testing.T) {
	w := newWorld(t, rowsPolicy)
	r := FoldHistory([]Event{set(1, customer), yes(2, "newsletter/email", noProof)}, w.c)
	e := Explain(w.permission(t, "newsletter/email"), r, similar, onDay(30))
	var walk []string
	for _, s := range e.Steps {
		answer := "passes"
		if s.Matched {
			answer = s.Reason.String()
		}
		walk = append(walk, s.Row+" "+s.Basis.String()+" "+answer)
	}
	want := []string{
		"2 none passes", "2 none passes", "3 none passes", "4 none passes", "5 none passes", "6 none passes", "undeliverable none passes",
		"7 consent passes", "7 consent passes", "7 consent passes", "8 consent passes", "9 consent passes", "11 consent passes",
		"15 consent passes", "16 consent passes", "17 consent passes", "18 consent passes", "19 consent passes", "20 consent UNPROVEN",
		"7 existing_customer passes", "7 existing_customer passes", "7 existing_customer passes", "8 existing_customer passes",
		"9 existing_customer passes", "10 existing_customer passes", "12 existing_customer passes", "14 existing_customer passes",
		"27 existing_customer EXISTING_CUSTOMER",
	}
	if diff := cmp.Diff(want, walk); diff != "" {
		t.Error(diff)
	}
	unproven := e.Steps[18]
	wantStep := Step{
		Row: "20", Basis: BasisConsent, Condition: "given, proof required and missing", Matched: true, Reason: ReasonUnproven,
		Facts: []string{"given_at = 2024-03-03T09:00:00Z", "proof_required = true", "proven = false"}, Source: "Art. 7(1) GDPR",
	}
	if diff := cmp.Diff(wantStep, unproven); diff != "" {
		t.Error(diff)
	}
}

func TestExplainRemedies(t *testing.T) {
	tests := []struct {
		name, permission string
		story            []Event
		q                Question
		want             []string // row, basis, reason and remedy of each failed condition
	}{
		{"never asked", "newsletter/email", nil, Question{}, []string{
			"15 consent NO_CONSENT USE_ANOTHER_CHANNEL", "28 existing_customer EXISTING_CUSTOMER_CONDITIONS RECORD_SALE",
		}},
		{"a customer is missing only similar goods", "newsletter/email", []Event{set(1, customer)}, Question{}, []string{
			"15 consent NO_CONSENT USE_ANOTHER_CHANNEL", "28 existing_customer EXISTING_CUSTOMER_CONDITIONS RECORD_SALE",
		}},
		{"unproven and unconfirmed", "newsletter/email", []Event{yes(1, "newsletter/email", noProof)}, Question{}, []string{
			"20 consent UNPROVEN ATTACH_PROOF", "21 consent UNCONFIRMED RECORD_CONFIRMATION",
			"28 existing_customer EXISTING_CUSTOMER_CONDITIONS RECORD_SALE",
		}},
		{"confirmed too late", "newsletter/email", []Event{yes(1, "newsletter/email"), about(Confirmed, 9, "newsletter/email")}, Question{},
			[]string{
				"21 consent UNCONFIRMED USE_ANOTHER_CHANNEL", "28 existing_customer EXISTING_CUSTOMER_CONDITIONS USE_ANOTHER_CHANNEL",
			}},
		{"what allows needs no mending", "newsletter/email", []Event{set(1, customer)}, similar, []string{
			"15 consent NO_CONSENT USE_ANOTHER_CHANNEL",
		}},
		{"a consent that allows", "ads", []Event{yes(1, "ads")}, Question{}, nil},
		{"withdrawn", "newsletter/email", []Event{about(Withdrawn, 1)}, Question{}, []string{
			"7 consent WITHDRAWN DONT_CONTACT", "7 existing_customer WITHDRAWN DONT_CONTACT",
			"28 existing_customer EXISTING_CUSTOMER_CONDITIONS DONT_CONTACT",
		}},
		{"suppressed: asking is contact too", "offers/email", []Event{about(Suppressed, 1)}, Question{}, []string{
			"4 none SUPPRESSED DONT_CONTACT", "15 consent NO_CONSENT DONT_CONTACT",
		}},
		{"suppressed, and the later yes expired", "offers/email", []Event{about(Suppressed, 1), yes(2, "offers/email")}, Question{}, []string{
			"23 consent EXPIRED DONT_CONTACT", "24 consent DORMANT DONT_CONTACT",
		}},
		{"restricted: what else fails is listed too", "mixed", []Event{about(Restricted, 1), yes(2, "mixed")}, Question{}, []string{
			"5 none RESTRICTED LIFT", "33 contract NO_CONTRACT RECORD_FACTS",
		}},
		{"expired, dormant, outdated", "offers/email", []Event{yes(1, "offers/email", func(e *Event) { e.Evidence.NoticeVersion = 1 })},
			Question{}, []string{
				"23 consent EXPIRED USE_ANOTHER_CHANNEL", "24 consent DORMANT USE_ANOTHER_CHANNEL",
				"25 consent NOTICE_OUTDATED USE_ANOTHER_CHANNEL",
			}},
		{"under an unknown notice", "offers/email", []Event{yes(1, "offers/email", func(e *Event) { e.Evidence.NoticeVersion = 0 })},
			Question{}, []string{
				"23 consent EXPIRED USE_ANOTHER_CHANNEL", "24 consent DORMANT USE_ANOTHER_CHANNEL",
				"25 consent NOTICE_OUTDATED ATTACH_PROOF",
			}},
		{"everything at once", "newsletter/post", []Event{
			about(Restricted, 1), about(Erased, 2), objection(3, ObjectionUnclear), about(Undeliverable, 4),
		}, Question{}, []string{
			"3 none ERASED DONT_CONTACT", "4 none SUPPRESSED DONT_CONTACT", "5 none RESTRICTED LIFT",
			"6 none OBJECTED_MARKETING DONT_CONTACT", "undeliverable none UNDELIVERABLE LIFT", "7 legitimate_interest OBJECTED DONT_CONTACT",
			"30 legitimate_interest NO_RELATIONSHIP DONT_CONTACT",
		}},
		{"only the overriding consent counts", "mixed", []Event{
			about(Restricted, 2), yes(3, "mixed", overriding, noProof),
		}, Question{}, []string{
			"20 consent UNPROVEN ATTACH_PROOF", "5 contract RESTRICTED LIFT", "33 contract NO_CONTRACT RECORD_FACTS",
		}},
		{"a business not asked as one", "newsletter/phone", []Event{set(1, Attributes{Business: &sure})}, Question{}, []string{
			"15 consent NO_CONSENT USE_ANOTHER_CHANNEL", "14 presumed_consent CHANNEL_CONSENT_REQUIRED RECORD_FACTS",
			"36 presumed_consent NO_BASIS RECORD_FACTS",
		}},
		{"not yet valid", "ads", []Event{yes(1, "ads", func(e *Event) { e.Terms.ValidFrom = onDay(90) })}, Question{}, []string{
			"22 consent NOT_YET_VALID WAIT",
		}},
		{"a minor", "newsletter/post", []Event{set(1, customer), set(2, born(2010, 1, 1))}, Question{}, []string{
			"12 legitimate_interest MINOR_PROTECTED WAIT",
		}},
		{"not explicit", "scoring", []Event{yes(1, "scoring")}, Question{}, []string{
			"9 consent AUTOMATED_DECISION USE_ANOTHER_CHANNEL", "33 contract NO_CONTRACT RECORD_FACTS",
		}},
	}
	w := newWorld(t, rowsPolicy)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := Explain(w.permission(t, tt.permission), FoldHistory(tt.story, w.c), tt.q, onDay(30))
			var got []string
			for _, f := range e.Failed {
				got = append(got, strings.Join([]string{f.Row, f.Basis.String(), f.Reason.String(), f.Remedy.String()}, " "))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExplainSaysWhatIsMissing(t *testing.T) {
	w := newWorld(t, rowsPolicy)
	r := FoldHistory([]Event{set(1, Attributes{Relationship: RelationshipCustomer})}, w.c)
	e := Explain(w.permission(t, "newsletter/email"), r, Question{}, onDay(30))
	want := "a condition of the existing-customer exception is missing: address from a sale, similar goods, opt-out notice at collection"
	if got := e.Failed[len(e.Failed)-1].Detail; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestExplainTexts(t *testing.T) {
	tests := []struct{ got, want string }{
		{span(0), "none"},
		{span(30 * day), "30 days"},
		{span(90 * minute), "1h30m0s"},
		{stateText(StateGiven), "given"},
		{stateText(77), "unknown"},
		{relationshipText(RelationshipFormerCustomer), "former_customer"},
		{relationshipText(77), "unknown"},
		{relationshipsText(0), "any"},
		{relationshipsText(1<<RelationshipCustomer | 1<<RelationshipNone), "none, customer"},
		{countryText([2]byte{}), "unknown"},
		{countryText([2]byte{'A', 'T'}), "AT"},
		{RemedyLift.String(), "LIFT"},
		{Remedy(77).String(), "UNSPECIFIED"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

// TestRowsAreDocumented looks for every row in docs/decisions.md: its number, reason and source on one line.
func TestRowsAreDocumented(t *testing.T) {
	document, err := os.ReadFile("../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(document), "\n")
	for w := rowMinorAds; w < rowCount; w++ {
		text := rowTexts[w]
		says := func(line string) bool {
			return strings.HasPrefix(line, "| "+text.number+" |") && strings.Contains(line, w.reason().String()) &&
				strings.Contains(line, text.source)
		}
		if !slices.ContainsFunc(lines, says) {
			t.Errorf("no line for row %s with %v and %q", text.number, w.reason(), text.source)
		}
	}
	for remedy := RemedyDontContact; int(remedy) < len(remedyNames); remedy++ {
		if !strings.Contains(string(document), "| "+remedy.String()+" |") {
			t.Errorf("no line for the remedy %v", remedy)
		}
	}
}

// TestRowTexts holds the table to what the decision needs of it.
func TestRowTexts(t *testing.T) {
	for w := rowMinorAds; w < rowCount; w++ {
		text := rowTexts[w]
		switch {
		case text.number == "" || text.condition == "" || text.source == "" || w.reason() == 0:
			t.Errorf("row %d is incomplete: %+v", w, text)
		case !w.allows() && (text.fails == "" || text.remedy == RemedyNone || text.advice == ""):
			t.Errorf("row %s says no remedy", text.number)
		case w.allows() && w.ends():
			t.Errorf("row %s both allows and ends", text.number)
		}
		listed := slices.Contains(onceRows, w) || w == rowNothing
		for _, rows := range basisRows {
			listed = listed || slices.Contains(rows, w)
		}
		if !listed {
			t.Errorf("row %s is never asked", text.number)
		}
	}
}
