package consent

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPolicyFaults reads documents and their faults from a file: after a line of === and a name comes a document, after ==> its faults.
func TestPolicyFaults(t *testing.T) {
	file, err := os.ReadFile("testdata/policy_faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, cases, _ := strings.Cut(string(file), "\n=== ")
	for _, c := range strings.Split(cases, "\n=== ") {
		name, rest, _ := strings.Cut(c, "\n")
		document, want, found := strings.Cut("\n"+rest, "\n==>\n")
		if !found {
			t.Fatalf("the case %q has no faults", name)
		}
		t.Run(name, func(t *testing.T) {
			got := strings.Join(faultsOf(t, strings.TrimPrefix(document+"\n", "\n")), "\n")
			if diff := cmp.Diff(strings.TrimSpace(want), got); diff != "" {
				t.Errorf("the faults (-want +got):\n%s", diff)
			}
		})
	}
}

// faultsOf returns the faults of a document that has some.
func faultsOf(t *testing.T, document string) []string {
	t.Helper()
	p, err := ParsePolicy([]byte(document))
	var bad *PolicyError
	if p != nil || !errors.As(err, &bad) {
		t.Fatalf("this was no fault: %v", err)
	}
	lines := make([]string, len(bad.Faults))
	for i, f := range bad.Faults {
		lines[i] = f.String()
	}
	if want := "the policy can't be used\n" + strings.Join(lines, "\n"); err.Error() != want {
		t.Errorf("the error says %q, want %q", err, want)
	}
	return lines
}

// TestPolicyLimits tries what is too long to stand in a file.
func TestPolicyLimits(t *testing.T) {
	const one = "purposes: {a: {bases: [consent]}}\n"
	var many, wrong strings.Builder
	many.WriteString("purposes:\n")
	wrong.WriteString("purposes:\n")
	for i := range maxPermissions + 1 {
		fmt.Fprintf(&many, "  p%d: {bases: [consent]}\n", i)
		fmt.Fprintf(&wrong, "  p%d: {bases: [consnt]}\n", i)
	}
	tests := []struct {
		name, document, last string
		faults               int
	}{
		{"too large", one + "#" + strings.Repeat("x", maxPolicyBytes), "line 1: the document has 1048611 bytes, which is more than " +
			"1048576: split it over several tenants, or shorten its texts", 1},
		{"too many permissions", many.String(), "line 2: purposes: there are 4097 permissions, which is more than 4096: split them over " +
			"several tenants", 1},
		{"too many faults", wrong.String(), "line 100: 3998 more faults follow: mend these first", maxFaults + 1},
		{"a long text", "purposes:\n  a: {bases: [legal_obligation], statute: " + strings.Repeat("x", 1025) + "}",
			"line 2: purposes.a.statute: this text has 1025 bytes, which is more than 1024: shorten it, and refer to the rest", 1},
		{"a long name", "purposes:\n  " + strings.Repeat("x", 65) + ": {bases: [consent]}",
			`line 2: purposes."xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...": the name "xxxxxxxxxxxxxxxxxxxx"... has 65 bytes: shorten it to 64`, 1},
		{"no UTF-8", "purposes:\n  # \xff", "line 2: the document isn't UTF-8: save it as UTF-8", 1},
		{"UTF-16", "\xff\xfep\x00", "line 1: the document isn't UTF-8: save it as UTF-8", 1},
		{"deeper than the library reads", strings.Repeat("[", 10_001), "line 1: this isn't YAML, here or nearby: exceeded max depth of 10000", 1},
		{"a bomb of aliases", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "line 3: *b is an alias: write the value itself", 7},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := faultsOf(t, test.document)
			if len(got) != test.faults || got[len(got)-1] != test.last {
				t.Errorf("%d faults, the last is\n%s\nwant %d and\n%s", len(got), got[len(got)-1], test.faults, test.last)
			}
		})
	}
}
