package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// ask runs a command line against a server.
func ask(t *testing.T, addr string, args ...string) result {
	t.Helper()
	return call{args: args, env: []string{"CONSENTD_ADDR=" + addr}}.run(t)
}

// must runs a command line that has to succeed, and returns what it printed.
func must(t *testing.T, addr string, args ...string) string {
	t.Helper()
	got := ask(t, addr, args...)
	if got.code != exitDone {
		t.Fatalf("consentd %s: exit code %d:\n%s", strings.Join(args, " "), got.code, got.stderr)
	}
	return got.stdout
}

// passing is what differs from run to run: revisions, etags, the time of writing, and what is left of the staleness bound.
var passing = []struct {
	pattern *regexp.Regexp
	shown   string
}{
	{regexp.MustCompile(`\b20(2[5-9]|[3-9]\d)-\d\d-\d\dT[0-9:.]+Z`), "NOW"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|µs|s)\b`), "1s"},
	{regexp.MustCompile(`\bA[\w-]{22}\b`), "REVISION"},
	{regexp.MustCompile(`\b\d+-[0-9a-f]{16}\b`), "ETAG"},
	{regexp.MustCompile(` +\n`), "\n"},
	{regexp.MustCompile(`(\S) {2,}`), "${1}  "},
}

// TestJourney walks through what most people do with the command line, and compares all of it with a golden file.
func TestJourney(t *testing.T) { takeJourney(t, startServer(t)) }

func takeJourney(t *testing.T, addr string) {
	t.Helper()
	var transcript strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(journey), "\n") {
		got := ask(t, addr, strings.Fields(line)...)
		fmt.Fprintf(&transcript, "$ consentd %s\n%s", line, got.stdout)
		if got.stderr != "" {
			fmt.Fprintf(&transcript, "[standard error]\n%s", got.stderr)
		}
		fmt.Fprintf(&transcript, "[exit code %d]\n\n", got.code)
	}
	text := transcript.String()
	for _, p := range passing {
		text = p.pattern.ReplaceAllString(text, p.shown)
	}
	const golden = "testdata/journey.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("the commands print something else (go test -run TestJourney$ -update writes it anew):\n%s", diff)
	}
}

const journey = `
check anna@example.com newsletter/email
record grant anna@example.com newsletter/email --at 2020-01-10T09:00:00Z --notice-version 3
check anna@example.com newsletter/email
record evidence anna@example.com newsletter/email --at 2020-01-10T09:00:01Z --method web_form --source checkout --proof forms/8812
check anna@example.com newsletter/email
record confirm anna@example.com newsletter/email --at 2020-01-10T09:05:00Z
check Anna@Example.COM newsletter/email
record confirm anna@example.com newsletter/email --at 2020-01-10T09:05:00Z -o json
check anna@example.com newsletter/email crm_storage -o json
check anna@example.com newsletter/email crm_storage -o yaml
check anna@example.com
subject show anna@example.com
subject history anna@example.com
record withdraw anna@example.com newsletter/email --at 2020-01-11 --dry-run
check anna@example.com newsletter/email
record withdraw anna@example.com newsletter/email --at 2020-01-11
record grant anna@example.com newsletter/email --at 2020-01-09 --notice-version 3
check anna@example.com newsletter/email
check anna@example.com newsletter/email newsletter/pigeon
check anna@example.com newsletter/email newsletter/pigeon -o json
check anna@example.com newsletter/email --at-least nonsense
subject show nobody@example.com
subject show nobody@example.com -o json
record set kunde@example.com relationship=customer address_from_sale=true opt_out_notice_given=true --at 2020-01-10
check kunde@example.com newsletter/email --similar-goods
check kunde@example.com newsletter/email newsletter/post
record object kunde@example.com --marketing --all --at 2020-01-12
check kunde@example.com newsletter/email newsletter/post crm_storage --similar-goods
subject show kunde@example.com
policy list
policy apply ../../examples/shop/policy.yaml
policy apply ../../examples/shop/policy.yaml --etag none
record set dora@example.com relationship=customer --at 2020-01-10
policy apply testdata/policy_stricter.yaml --dry-run
policy apply testdata/policy_stricter.yaml --dry-run -o json
check anna@example.com newsletter/email --tenant other
`
