package consent

import (
	"strconv"
	"strings"
	"time"
)

var stateTexts = [...]string{"unknown", "requested", "given", "refused", "withdrawn", "invalidated"}

func stateText(s State) string {
	if int(s) < len(stateTexts) {
		return stateTexts[s]
	}
	return stateTexts[StateUnknown]
}

var relationshipTexts = [...]string{"unknown", "none", "customer", "former_customer"}

func relationshipText(r Relationship) string {
	if int(r) < len(relationshipTexts) {
		return relationshipTexts[r]
	}
	return relationshipTexts[RelationshipUnknown]
}

// relationshipsText returns the relationships of a set, or "any" for the empty one.
func relationshipsText(set uint8) string {
	if set == 0 {
		return "any"
	}
	var names []string
	for rel, name := range relationshipTexts {
		if set&(1<<rel) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func countryText(code [2]byte) string {
	if code == [2]byte{} {
		return "unknown"
	}
	return string(code[:])
}

// span returns milliseconds as a duration, or none for zero. Policies count days, so longer ones are given in days.
func span(millis int64) string {
	switch {
	case millis == 0:
		return "none"
	case millis%day == 0:
		return strconv.FormatInt(millis/day, 10) + " days"
	default:
		return (time.Duration(millis) * time.Millisecond).String()
	}
}

// text returns a policy's words, in quotes, or none.
func text(s string) string {
	if s == "" {
		return "none"
	}
	return strconv.Quote(s)
}
