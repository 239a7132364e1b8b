package consent

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var fence = regexp.MustCompile("(?ms)^```(yaml|yaml refused|text)\n(.*?)\n```$")

// TestPolicyDocument reads every example of the reference. One that is refused is followed by its faults.
func TestPolicyDocument(t *testing.T) {
	examples := fence.FindAllStringSubmatch(policyReference(t), -1)
	read := 0
	for i, example := range examples {
		switch kind, text := example[1], example[2]; kind {
		case "yaml":
			read++
			if _, err := ParsePolicy([]byte(text)); err != nil {
				t.Errorf("%v:\n%s", err, text)
			}
		case "yaml refused":
			read++
			if i+1 == len(examples) || examples[i+1][1] != "text" {
				t.Fatalf("nothing says why this is refused:\n%s", text)
			}
			if diff := cmp.Diff(strings.TrimSpace(examples[i+1][2]), strings.Join(faultsOf(t, text), "\n")); diff != "" {
				t.Errorf("the faults (-want +got):\n%s", diff)
			}
		}
	}
	if read < 5 {
		t.Errorf("found %d examples only", read)
	}
}

// TestPolicyDocumentIsComplete holds that each key, basis, kind and ground is described.
func TestPolicyDocumentIsComplete(t *testing.T) {
	reference := policyReference(t)
	words := []string{
		"format", "keep_case", "age_of_consent", "default", "by_country", "channels", "notice", "purposes", "current", "min_material",
		"erasure", "restriction",
	}
	p := policyParser{}
	for key := range p.settings(&draft{}) {
		words = append(words, key)
	}
	for unit := range durationUnits {
		words = append(words, unit)
	}
	words = append(words, basisNames[BasisConsent:]...)
	words = append(words, kindNames[KindEmail:]...)
	words = append(words, erasureExemptions...)
	words = append(words, restrictionExemptions...)
	words = append(words, relationshipNames...)
	for _, word := range words {
		if !regexp.MustCompile("`[0-9]*" + word + "[`:]").MatchString(reference) {
			t.Errorf("the reference doesn't describe %s", word)
		}
	}
}

func policyReference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
