package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestPolicyFaults names every fault as FILE:LINE, without a server and before one is asked.
func TestPolicyFaults(t *testing.T) {
	const file = "testdata/policy_faulty.yaml"
	validated := consentd(t, "policy", "validate", file)
	if validated.code != exitFailed || validated.stderr != "" {
		t.Errorf("%+v", validated)
	}
	applied := consentd(t, "policy", "apply", file, "--addr", "127.0.0.1:1")
	if applied.code != exitFailed || applied.stdout != "" {
		t.Errorf("%+v", applied)
	}
	for _, place := range []string{file + ":6: ", file + ":8: ", file + ":9: "} {
		if !strings.Contains(validated.stdout, place) || !strings.Contains(applied.stderr, place) {
			t.Errorf("%s isn't in:\n%s%s", place, validated.stdout, applied.stderr)
		}
	}
	out := decode[validateOutput](t, consentd(t, "policy", "validate", file, "-o", "json").stdout)
	if out.Valid || len(out.Faults) != 3 || out.Faults[0].Line != 6 || out.Faults[0].Message == "" {
		t.Errorf("%+v", out)
	}
}

func TestPolicyValid(t *testing.T) {
	out := decode[validateOutput](t, consentd(t, "policy", "validate", shopPolicy, "-o", "json").stdout)
	if !out.Valid || len(out.Faults) != 0 || out.Permissions[0] != "newsletter/email" {
		t.Errorf("%+v", out)
	}
	document, err := os.ReadFile(shopPolicy)
	if err != nil {
		t.Fatal(err)
	}
	if got := (call{args: []string{"policy", "validate", "-"}, stdin: string(document)}).run(t); got.code != exitDone {
		t.Errorf("from standard input: %+v", got)
	}
	for _, text := range []string{"", "purposes: [", strings.Repeat("#", maxPolicyBytes+1)} {
		if got := consentd(t, "policy", "validate", writeFile(t, "policy.yaml", text)); got.code != exitFailed {
			t.Errorf("%.20q: %+v", text, got)
		}
	}
}

// TestPolicyVersions puts two versions, and prints them as they were put.
func TestPolicyVersions(t *testing.T) {
	addr := startServer(t)
	const stricter = "testdata/policy_stricter.yaml"
	if got := ask(t, addr, "policy", "apply", stricter, "--etag", "stale"); got.code != exitFailed || !strings.Contains(got.stderr, "ETAG_MISMATCH") {
		t.Errorf("%+v", got)
	}
	dry := decode[applyOutput](t, must(t, addr, "policy", "apply", stricter, "--dry-run", "-o", "json"))
	if len(dry.Added) != 0 || !slices.Contains(dry.Removed, "newsletter/phone") || slices.Contains(dry.Removed, "newsletter/email") {
		t.Errorf("nobody is recorded, but permissions go: %+v", dry)
	}
	first := decode[applyOutput](t, must(t, addr, "policy", "apply", stricter, "--dry-run", "--tenant", "new", "-o", "json"))
	if !slices.Contains(first.Added, "newsletter/post") || len(first.Removed) != 0 {
		t.Errorf("a first policy: %+v", first)
	}
	out := decode[applyOutput](t, must(t, addr, "policy", "apply", stricter, "-o", "json"))
	if out.Version != 2 || !out.Changed || out.DryRun || out.ETag == "" || out.Revision == "" {
		t.Errorf("%+v", out)
	}
	for version, path := range map[string]string{"0": stricter, "1": shopPolicy, "2": stricter} {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := must(t, addr, "policy", "show", "--version", version); got != string(want) {
			t.Errorf("version %s is\n%s", version, got)
		}
	}
	if got := ask(t, addr, "policy", "show", "--version", "3"); got.code != exitFailed || !strings.Contains(got.stderr, "UNKNOWN_VERSION") {
		t.Errorf("%+v", got)
	}
	shown := decode[map[string]any](t, must(t, addr, "policy", "show", "-o", "json"))
	if shown["version"] != 2.0 || shown["etag"] != out.ETag {
		t.Errorf("%v", shown)
	}
}
