package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCheckShape holds the keys of the JSON that scripts rely on.
func TestCheckShape(t *testing.T) {
	addr := startServer(t)
	got := ask(t, addr, "check", "anna@example.com", "newsletter/email", "-o", "json")
	if got.code != exitDenied || got.stderr != "" {
		t.Fatalf("exit code %d:\n%s", got.code, got.stderr)
	}
	out := decode[map[string]any](t, got.stdout)
	if diff := cmp.Diff([]string{"decisions", "policy_version", "revision", "subject"}, keys(out)); diff != "" {
		t.Error(diff)
	}
	decision := out["decisions"].([]any)[0].(map[string]any)
	want := []string{"basis", "cache_for", "decision", "next_change", "obligations", "permission", "reason"}
	if diff := cmp.Diff(want, keys(decision)); diff != "" {
		t.Error(diff)
	}
	if decision["decision"] != "DENY" || decision["reason"] != "NO_CONSENT" || decision["next_change"] != nil {
		t.Errorf("%v", decision)
	}
}

func keys(object map[string]any) []string {
	var names []string
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestEveryVerb writes every kind of event. What each does is the law's business; here it has to arrive.
func TestEveryVerb(t *testing.T) {
	addr := startServer(t)
	arguments := map[string][]string{
		"grant":          {"newsletter/email", "--explicit", "--method", "web_form", "valid_from=2026-01-01", "expires_at=2036-01-01T00:00:00Z"},
		"withdraw":       {"purposes=newsletter", "channels=email,post"},
		"object":         {"newsletter/email", "objection=processing"},
		"lift-objection": {"--all", "--marketing"},
		"invalidate":     {"--all"},
		"evidence":       {"newsletter/email", "--method", "paper", "--source", "fair", "grant_at=2026-01-02", "notice_hash=" + strings.Repeat("ab", 32)},
		"undeliverable":  {"channels=email"},
		"deliverable":    {"channels=email"},
		"set":            {"birth_date=2011-07-24", "country=DE", "guardian_authorised=true", "business=false", "contract_active=true"},
		"grounds":        {"newsletter/email"},
	}
	for i, v := range verbs() {
		args, given := arguments[v.name]
		if !given && v.scope == permissionsOnly {
			args = []string{"newsletter/email"}
		}
		line := append([]string{"record", v.name, "anna@example.com", "--at", fmt.Sprintf("2026-01-02T10:%02d:00Z", i), "-o", "json"}, args...)
		out := decode[recordOutput](t, must(t, addr, line...))
		if len(out.Effects) != 1 || out.Revision == "" {
			t.Errorf("%v: %+v", line, out)
		}
	}
	history := decode[map[string]any](t, must(t, addr, "subject", "history", "anna@example.com", "--include-retained", "-o", "json"))
	if got := len(history["events"].([]any)); got == 0 {
		t.Errorf("the history has %d events", got)
	}
}

// TestIdleConfirmation confirms what there is no grant for, and looks at how an objection to everything is shown.
func TestIdleConfirmation(t *testing.T) {
	addr := startServer(t)
	const why = "no unconfirmed grant that it counts for"
	if got := ask(t, addr, "record", "confirm", "anna@example.com", "newsletter/email"); !strings.Contains(got.stderr, why) {
		t.Errorf("nothing was granted: %+v", got)
	}
	must(t, addr, "record", "grant", "anna@example.com", "newsletter/email")
	if got := ask(t, addr, "record", "confirm", "anna@example.com", "newsletter/email"); got.stderr != "" {
		t.Errorf("it confirms the grant: %+v", got)
	}
	must(t, addr, "record", "object", "anna@example.com", "--all")
	if got := must(t, addr, "subject", "history", "anna@example.com"); !strings.Contains(got, "objection=both") {
		t.Errorf("an objection of both kinds is shown as\n%s", got)
	}
}

// TestRequestID repeats a write with its id: the answer is the same, and nothing is written.
// TestMissedNames records a "no" under names that the policy has and hasn't.
func TestMissedNames(t *testing.T) {
	addr := startServer(t)
	for args, missed := range map[string]string{
		"newsletter/email":           "",
		"newsletter":                 "",
		"purposes=newsletter":        "",
		"channels=email":             "",
		"newsletter/pigeon":          "newsletter/pigeon",
		"newslettr":                  "newslettr",
		"purposes=newslettr":         "newslettr",
		"channels=email,carrier":     "carrier",
		"crm_storage channels=email": "",
	} {
		got := ask(t, addr, append([]string{"record", "withdraw", "anna@example.com"}, strings.Fields(args)...)...)
		warned := strings.Contains(got.stderr, fmt.Sprintf("no permission that %q covers", missed))
		if got.code != exitDone || (got.stderr == "") != (missed == "") || warned != (missed != "") {
			t.Errorf("%s: exit code %d, standard error:\n%s", args, got.code, got.stderr)
		}
	}
}

func TestNotUTF8(t *testing.T) {
	addr := startServer(t)
	for _, args := range [][]string{
		{"check", "m\xfcller", "crm_storage"}, {"record", "withdraw", "anna", "p\xfc"}, {"subject", "show", "m\xfcller"},
		{"record", "grant", "anna", "newsletter/email", "--source", "m\xfcller"},
	} {
		if got := ask(t, addr, args...); got.code != exitUsage || !strings.Contains(got.stderr, "isn't text in UTF-8") {
			t.Errorf("%q: exit code %d, standard error:\n%s", args, got.code, got.stderr)
		}
	}
}

func TestRequestID(t *testing.T) {
	addr := startServer(t)
	id, err := newRequestID()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"record", "withdraw", "anna@example.com", "newsletter/email", "--request-id", id, "-o", "json"}
	first, second := must(t, addr, args...), must(t, addr, args...)
	if first != second {
		t.Errorf("first %s, then %s", first, second)
	}
	args[3] = "newsletter/post"
	args = slices.Insert(slices.Delete(args, 3, 4), 3, "newsletter/post")
	got := ask(t, addr, append([]string{"record", "withdraw", "berta@example.com", "newsletter/post"}, args[4:]...)...)
	if got.code != exitFailed || !strings.Contains(got.stderr, "REQUEST_ID_REUSED") {
		t.Errorf("the id for something else: exit code %d, %s", got.code, got.stderr)
	}
}

// TestReadYourWrite checks at the revision that a write returned.
func TestReadYourWrite(t *testing.T) {
	addr := startServer(t)
	out := decode[recordOutput](t, must(t, addr, "record", "set", "anna@example.com", "relationship=customer", "-o", "json"))
	must(t, addr, "check", "anna@example.com", "newsletter/post", "--at-least", out.Revision)
	must(t, addr, "check", "anna@example.com", "newsletter/post", "--fully-consistent")
	must(t, addr, "subject", "show", "anna@example.com", "--at-least", out.Revision)
}

func TestSegment(t *testing.T) {
	addr := startServer(t)
	must(t, addr, "record", "set", "berta", "relationship=customer")
	must(t, addr, "record", "set", "Dora@Example.com", "relationship=customer")
	ids := "anna\nberta\n" + strings.Repeat("x", 300) + "\ndora@example.com\n"

	plain := call{args: []string{"segment", "newsletter/post", "--in", "-", "--addr", addr}, stdin: ids}.run(t)
	if plain.code != exitDone || plain.stdout != "berta\ndora@example.com\n" || !strings.Contains(plain.stderr, "4 subjects: 2 allowed, 1 denied, 1 unusable") {
		t.Errorf("%+v", plain)
	}

	summary := call{args: []string{"segment", "newsletter/post", "--in", "-", "--addr", addr, "-o", "json"}, stdin: ids}.run(t)
	out := decode[segmentOutput](t, summary.stdout)
	if out.Revision == "" || out.PolicyVersion != 1 {
		t.Errorf("%+v", out)
	}
	out.Revision = ""
	want := segmentOutput{
		Permission: "newsletter/post", Subjects: 4, Allowed: 2, Denied: 1, Unusable: 1, PolicyVersion: 1,
		ByReason: map[string]int{"LEGITIMATE_INTEREST": 2, "NO_RELATIONSHIP": 1},
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}

	table := writeFile(t, "users.csv", "Name;Id\nA;anna\nB;berta\n")
	decided := filepath.Join(t.TempDir(), "decided.csv")
	must(t, addr, "segment", "newsletter/post", "--in", table, "--column", "Id", "--out", decided)
	text, err := os.ReadFile(decided)
	if want := "subject,decision,reason\nanna,DENY,NO_RELATIONSHIP\nberta,ALLOW,LEGITIMATE_INTEREST\n"; err != nil || string(text) != want {
		t.Errorf("%v:\n%s", err, text)
	}

	for name, args := range map[string][]string{
		"no such column":     {"newsletter/post", "--in", table, "--column", "Mail"},
		"no such file":       {"newsletter/post", "--in", "nowhere.csv"},
		"no such permission": {"newsletter/pigeon", "--in", table, "--column", "Id"},
		"onto itself":        {"newsletter/post", "--in", table, "--column", "Id", "--out", table},
	} {
		if got := ask(t, addr, append([]string{"segment"}, args...)...); got.code == exitDone || got.stderr == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestLargeSegment has more chunks than may be on their way.
func TestLargeSegment(t *testing.T) {
	addr := startServer(t)
	const subjects = 7*segmentSubjects + 1
	var ids bytes.Buffer
	for i := range subjects {
		fmt.Fprintf(&ids, "subject-%d\n", i)
	}
	got := call{args: []string{"segment", "newsletter/email", "--in", "-", "--addr", addr, "-o", "json", "--timeout", "1m"}, stdin: ids.String()}.run(t)
	out := decode[segmentOutput](t, got.stdout)
	if out.Subjects != subjects || out.Denied != subjects || out.ByReason["NO_CONSENT"] != subjects {
		t.Errorf("%+v\n%s", out, got.stderr)
	}
}

// TestUndatedFacts imports facts that have no time: that is said once, before the rows.
func TestUndatedFacts(t *testing.T) {
	addr := startServer(t)
	list := writeFile(t, "list.csv", "Mail,Since,Kunde\nanna@example.com,2024-05-01,ja\nberta@example.com,2024-05-01,\n")
	args := []string{"import", list, "--format", "csv", "--permission", "newsletter/email", "--map", "granted_at=Since", "--map", "customer=Kunde"}
	const said = "nothing says since when customer hold"
	if got := ask(t, addr, args...); got.code != exitDone || strings.Count(got.stderr, said) != 1 || !strings.HasPrefix(got.stderr, "consentd: "+said) {
		t.Errorf("%+v", got)
	}
	if got := ask(t, addr, append(args, "--at", "2024-06-01")...); got.code != exitDone || strings.Contains(got.stderr, said) {
		t.Errorf("with a time: %+v", got)
	}
}

// TestShopAuditAndImport does the main job on the example lists: audit before anything is imported, import, import again, audit again.
func TestShopAuditAndImport(t *testing.T) {
	addr := startServer(t)
	list := []string{shopLists, "--format", "mailchimp", "--permission", "newsletter/email", "--notice-version", "3", "-o", "json"}
	audited := filepath.Join(t.TempDir(), "audited.csv")

	before := decode[auditOutput](t, must(t, addr, append([]string{"audit", "--out", audited}, list...)...))
	if before.Rows != 81 || before.Rejected != 8 || before.Duplicates != 4 || before.Allowed+before.Denied != 69 || before.Allowed == 0 {
		t.Errorf("the audit: %+v", before)
	}
	checkAudited(t, audited, before)

	unsaid := ask(t, addr, "audit", shopLists, "--format", "mailchimp", "--permission", "newsletter/email")
	if unsaid.code != exitDone || !strings.Contains(unsaid.stderr, "--notice-version says which notice was shown") {
		t.Errorf("an audit without the notice's version: %+v", unsaid)
	}

	dry := decode[importOutput](t, must(t, addr, append([]string{"import", "--dry-run"}, list...)...))
	first := decode[importOutput](t, must(t, addr, append([]string{"import"}, list...)...))
	second := decode[importOutput](t, must(t, addr, append([]string{"import"}, list...)...))
	for name, out := range map[string]importOutput{"dry run": dry, "import": first, "import again": second} {
		if out.Rows != 81 || out.Rejected != 8 || len(out.Rejects) != 8 || out.Written+out.Unchanged+out.Superseded+out.Rejected != out.Rows {
			t.Errorf("the %s: %+v", name, out)
		}
	}
	if first.Written == 0 || first.Revision == "" || second.Written != 0 {
		t.Errorf("%d rows were written first, %d then", first.Written, second.Written)
	}

	after := decode[auditOutput](t, must(t, addr, append([]string{"audit"}, list...)...))
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("an audit says something else after the import that it supposed:\n%s", diff)
	}
	for subject, reason := range map[string]string{
		"anna.berger@example.org":    "CONSENT",
		"markus.lehner@example.org":  "UNCONFIRMED",
		"otto.meier@example.org":     "UNPROVEN",
		"claudia.keller@example.net": "WITHDRAWN",
		"abuse.report@example.com":   "OBJECTED_MARKETING",
		"alt.firma@example.com":      "UNDELIVERABLE",
	} {
		out := decode[checkOutput](t, ask(t, addr, "check", subject, "newsletter/email", "-o", "json").stdout)
		if got := out.Decisions[0].Reason; got != reason {
			t.Errorf("%s is decided %s, want %s", subject, got, reason)
		}
	}
}

// checkAudited reads the list that an audit wrote back.
func checkAudited(t *testing.T, path string, out auditOutput) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	header := rows[0]
	if diff := cmp.Diff(auditColumns(), header[len(header)-len(auditColumns()):]); diff != "" {
		t.Error(diff)
	}
	decisions := map[string]int{}
	decision, reason, advice := slices.Index(header, "decision"), slices.Index(header, "reason"), slices.Index(header, "advice")
	for _, row := range rows[1:] {
		decisions[row[decision]]++
		if row[decision] == "DENY" && (row[reason] == "" || row[advice] == "") {
			t.Errorf("no reason or advice in %q", row)
		}
	}
	unsplit := out.Rows - len(rows) + 1
	if got := decisions["ALLOW"] + decisions["DENY"]; got != out.Allowed+out.Denied+out.Duplicates || decisions["REJECTED"]+unsplit != out.Rejected {
		t.Errorf("%v, and %d rows that couldn't be split; counted: %+v", decisions, unsplit, out)
	}
}

// TestImportDoesNotResurrect imports an opt-in of the future before and after a withdrawal.
func TestImportDoesNotResurrect(t *testing.T) {
	addr := startServer(t)
	soon := func(wait time.Duration) string { return time.Now().UTC().Add(wait).Format(time.DateTime) }
	exports := writeFile(t, "subscribed.csv", "Courriel préféré,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP\n"+
		"anna@example.com,"+soon(2*time.Hour)+",192.0.2.1,"+soon(3*time.Hour)+",192.0.2.1\n"+"berta@example.com,2019-05-25 10:11:12,192.0.2.1,,\n")
	args := []string{
		"import", exports, "--format", "mailchimp", "--permission", "newsletter/email", "--notice-version", "3",
		"--column", "Courriel préféré", "-o", "json",
	}
	for again := range 2 {
		got := ask(t, addr, args...)
		out := decode[importOutput](t, got.stdout)
		if got.code != exitDone || out.Written != 1-again || out.Rejected != 1 || out.ByReason["FUTURE_TIME"] != 1 {
			t.Errorf("import %d: %+v\n%s", again+1, out, got.stderr)
		}
		must(t, addr, "record", "withdraw", "anna@example.com", "newsletter/email")
	}
	audit := decode[auditOutput](t, must(t, addr, append([]string{"audit"}, args[1:]...)...))
	if audit.Rejected != 1 || audit.ByReason["UNCONFIRMED"] != 1 {
		t.Errorf("the audit: %+v", audit)
	}
}

// TestNoOfARowCounts imports and audits rows whose "yes" can't be used.
func TestNoOfARowCounts(t *testing.T) {
	addr := startServer(t)
	must(t, addr, "record", "grant", "anna@example.com", "newsletter/phone", "--notice-version", "3", "--method", "phone", "--source", "calls",
		"--proof", "c/1", "--at", "2024-01-10T09:00:00Z")
	list := writeFile(t, "list.csv", "Mail,Since,Until\nanna@example.com,05/06/2019,2025-02-03 10:11:12\n")
	got := ask(t, addr, "import", list, "--format", "csv", "--permission", "newsletter/phone", "--column", "Mail", "--map", "granted_at=Since",
		"--map", "withdrawn_at=Until", "-o", "json")
	out := decode[importOutput](t, got.stdout)
	if got.code != exitDone || out.Written != 1 || out.Partial != 1 || out.Rejected != 0 {
		t.Errorf("%+v", out)
	}
	if !strings.Contains(got.stderr, `list.csv:2: used in part, for its "no" alone: granted_at: `) ||
		!strings.Contains(got.stderr, "(UNREADABLE_TIME)") {
		t.Errorf("standard error:\n%s", got.stderr)
	}
	var keys []string
	for _, key := range regexp.MustCompile(`(?m)^  "(\w+)":`).FindAllStringSubmatch(got.stdout, -1) {
		keys = append(keys, key[1])
	}
	want := []string{"rows", "written", "unchanged", "superseded", "rejected", "by_reason", "revision", "partial", "rejects"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
	if got := ask(t, addr, "check", "anna@example.com", "newsletter/phone"); got.code != exitDenied || !strings.Contains(got.stdout, "WITHDRAWN") {
		t.Errorf("%+v", got)
	}

	gone := writeFile(t, "gone.csv", "Email Address,OPTIN_TIME,UNSUB_TIME\nberta@example.com,never,2020-02-03 04:05:06\n")
	got = ask(t, addr, "audit", gone, "--format", "mailchimp", "--permission", "newsletter/email", "-o", "json")
	audit := decode[auditOutput](t, got.stdout)
	if audit.ByReason["WITHDRAWN"] != 1 || !strings.Contains(got.stderr, "gone.csv:2: used in part") {
		t.Errorf("%+v\n%s", audit, got.stderr)
	}
}

func TestAuditOfRecords(t *testing.T) {
	addr := startServer(t)
	must(t, addr, "record", "set", "berta@example.com", "relationship=customer")
	list := writeFile(t, "list.csv", "Name,Mail\nAnna,anna@example.com\nBerta,berta@example.com\nBerta,BERTA@example.com\n")
	got := ask(t, addr, "audit", list, "--permission", "newsletter/post", "--column", "Mail")
	if got.code != exitDone || !strings.Contains(got.stdout, "LEGITIMATE_INTEREST  ALLOW") || !strings.Contains(got.stderr, "Next: --out") ||
		!strings.Contains(got.stderr, "only the records were asked") {
		t.Errorf("%+v", got)
	}
	out := decode[auditOutput](t, must(t, addr, "audit", list, "--permission", "newsletter/post", "--column", "Mail", "-o", "json"))
	want := auditOutput{
		Rows: 3, Allowed: 1, Denied: 1, Duplicates: 1, ByReason: map[string]int{"LEGITIMATE_INTEREST": 1, "NO_RELATIONSHIP": 1},
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
}

// TestWrongLists are errors before anything is read or written.
func TestWrongLists(t *testing.T) {
	addr := startServer(t)
	list := writeFile(t, "list.csv", "Mail,Since\nanna@example.com,2024-05-01\n")
	empty := writeFile(t, "empty.csv", "")
	mapped := []string{"--format", "csv", "--permission", "newsletter/email"}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"a file that isn't there", append([]string{"import", "nowhere.csv"}, mapped...), "nowhere.csv"},
		{"an empty file", append([]string{"import", empty}, mapped...), "empty"},
		{"a column that isn't there", append([]string{"import", list, "--map", "granted_at=Opt-in"}, mapped...), "Opt-in"},
		{"a misspelt permission", []string{"import", list, "--format", "csv", "--permission", "newsletter/mail", "--map", "granted_at=Since"},
			`no permission "newsletter/mail" (UNKNOWN_PERMISSION): did you mean newsletter/email?`},
		{"a consent to one", []string{"record", "grant", "anna@example.com", "crm_storage", "newsleter/email"},
			`no permission "newsleter/email" (UNKNOWN_PERMISSION): did you mean newsletter/email?`},
		{"a segment of one", []string{"segment", "crm_storag", "--in", list, "--column", "Mail"},
			`no permission "crm_storag" (UNKNOWN_PERMISSION): did you mean crm_storage?`},
		{"an audit of one", []string{"audit", list, "--permission", "newsletter/mail"}, "newsletter/email"},
		{"another kind of file", []string{"audit", list, "--format", "mailchimp", "--permission", "newsletter/email"}, "Mailchimp"},
		{"a list of nobody usable", append([]string{"import", writeFile(t, "bad.csv", "Mail,Since\nanna@example.com,soon\n"),
			"--map", "granted_at=Since"}, mapped...), "no row could be used"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(t, addr, tt.args...)
			if got.code != exitFailed || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("exit code %d, standard error:\n%s\nwant %q", got.code, got.stderr, tt.want)
			}
		})
	}
	if got := ask(t, addr, "subject", "show", "anna@example.com"); !strings.Contains(got.stderr, "nothing is recorded") {
		t.Errorf("something was written: %+v", got)
	}
}
