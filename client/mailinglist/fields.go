package mailinglist

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// fieldGroup says what a field is about.
type fieldGroup uint8

const (
	subjectField  fieldGroup = iota
	eventField               // the time of an event about the permission
	evidenceField            // of a grant or request
	factField                // a fact about the subject, an attribute
)

// field is what a column of CSV may be mapped to.
type field struct {
	name  string
	group fieldGroup
}

// fields are all of them. docs/lists.md describes each.
var fields = []field{
	{"subject", subjectField},

	{"granted_at", eventField}, {"requested_at", eventField}, {"confirmed_at", eventField}, {"refused_at", eventField},
	{"withdrawn_at", eventField}, {"objected_at", eventField}, {"used_at", eventField}, {"undeliverable_at", eventField},
	{"suppressed_at", eventField},

	{"notice_version", evidenceField}, {"notice_hash", evidenceField}, {"method", evidenceField}, {"source", evidenceField},
	{"proof", evidenceField}, {"explicit", evidenceField}, {"valid_from", evidenceField}, {"expires_at", evidenceField},

	{"facts_at", factField}, {"customer", factField}, {"relationship", factField}, {"address_from_sale", factField},
	{"opt_out_notice", factField}, {"contract_active", factField}, {"business", factField}, {"guardian_authorised", factField},
	{"birth_date", factField}, {"country", factField},
}

// Fields returns the names of the fields that columns of CSV can be mapped to.
func Fields() []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

func fieldByName(name string) (field, bool) {
	for _, f := range fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

// answers are how lists write yes and no, in English and German.
var answers = map[string]bool{
	"yes": true, "y": true, "true": true, "1": true, "x": true, "ja": true, "j": true, "wahr": true,
	"no": false, "n": false, "false": false, "0": false, "nein": false, "falsch": false,
}

// parseAnswer reads a yes or no. Nothing is neither, and returned as nil.
func parseAnswer(value string) (*bool, error) {
	if value == "" {
		return nil, nil //nolint:nilnil // an empty cell says nothing, which is no error
	}
	answer, known := answers[strings.ToLower(value)]
	if !known {
		return nil, rowError(reasonUnusableValue, "%s is neither yes nor no", show(value))
	}
	return &answer, nil
}

// parseEnum reads the name of an enum's value, in any letter case, with or without the enum's prefix: "web form" and METHOD_WEB_FORM
// are one. Nothing is 0.
func parseEnum(value, prefix string, numbers map[string]int32) (int32, error) {
	if value == "" {
		return 0, nil
	}
	name := strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToUpper(value))
	number, known := numbers[prefix+strings.TrimPrefix(name, prefix)]
	if !known || number == 0 {
		var names []string
		for _, n := range slices.Sorted(maps.Keys(numbers)) {
			if numbers[n] != 0 {
				names = append(names, strings.ToLower(strings.TrimPrefix(n, prefix)))
			}
		}
		return 0, rowError(reasonUnusableValue, "%s isn't known: write one of %s", show(value), strings.Join(names, ", "))
	}
	return number, nil
}

func parseMethod(value string) (consentv1.Method, error) {
	number, err := parseEnum(value, "METHOD_", consentv1.Method_value)
	return consentv1.Method(number), err
}

func parseRelationship(value string) (consentv1.Relationship, error) {
	number, err := parseEnum(value, "RELATIONSHIP_", consentv1.Relationship_value)
	return consentv1.Relationship(number), err
}

// parseHash reads a SHA-256 in hexadecimal or Base64. Nothing is nil.
func parseHash(value string) ([]byte, error) {
	const size = 32
	if value == "" {
		return nil, nil
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if hash, err := decode(value); err == nil && len(hash) == size {
			return hash, nil
		}
	}
	return nil, rowError(reasonUnusableValue, "a SHA-256 has %d bytes: write it as %d hexadecimal digits", size, 2*size)
}

// parseCountry reads an ISO 3166-1 code of two letters, or "none" to forget it. Nothing is nil.
func parseCountry(value string) (*string, error) {
	if value == "" {
		return nil, nil //nolint:nilnil // an empty cell says nothing, which is no error
	}
	if strings.EqualFold(value, "none") {
		none := "none"
		return &none, nil
	}
	code := strings.ToUpper(value)
	if len(code) != 2 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return nil, rowError(reasonUnusableValue, "%s is no country code of two letters, as DE", show(value))
	}
	return &code, nil
}

// parseBirthDate reads a date, or "none" to forget it. Nothing is nil.
func parseBirthDate(value string) (*string, error) {
	if value == "" {
		return nil, nil //nolint:nilnil // an empty cell says nothing, which is no error
	}
	if strings.EqualFold(value, "none") {
		none := "none"
		return &none, nil
	}
	day, err := parseDate(value)
	if err != nil {
		return nil, err
	}
	return &day, nil
}
