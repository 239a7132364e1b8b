package consent

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

const maxTextBytes = 1024

// keys are what a mapping may hold, each with what reads its value. They report whether the value could be read.
type keys map[string]func(key, value node) bool

// object reads a mapping whose keys are known, and reports whether all values could be read. A key that isn't known is a fault, but
// spoils no value.
func (f *faults) object(n node, known keys) bool {
	return f.mapping(n, func(key, value node) bool {
		read, found := known[key.Value]
		if !found {
			f.unknownKey(key, slices.Sorted(maps.Keys(known)))
			return true
		}
		return read(key, value)
	})
}

// unknownKey names the key that may have been meant, unless there are more faults already than are told.
func (f *faults) unknownKey(key node, known []string) {
	meant := ""
	if len(*f) < maxFaults {
		meant = Nearest(key.Value, known)
	}
	if meant != "" {
		meant = " (did you mean " + meant + "?)"
	}
	f.add(key.place(), "the key %s isn't known here%s: use one of %s", quoted(key.Value), meant, strings.Join(known, ", "))
}

// mapping reads a mapping, and reports whether all keys and values could be read.
func (f *faults) mapping(n node, read func(key, value node) bool) bool {
	if n.Kind != yaml.MappingNode {
		f.add(n.place(), "this is %s, but a mapping is needed: write lines of key: value, one level further in", n.what())
		return false
	}
	ok := true
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := node{n.Content[i], n.path}
		if key.Kind != yaml.ScalarNode {
			f.add(key.place(), "this key is %s: write a name", key.what())
			ok = false
			continue
		}
		key.path = n.under(shortened(key.Value))
		if line, found := lines[key.Value]; found {
			f.add(key.place(), "the key %s stands on line %d already: keep one of the two", quoted(key.Value), line)
			ok = false
			continue
		}
		lines[key.Value] = key.Line
		ok = read(key, node{n.Content[i+1], key.path}) && ok
	}
	return ok
}

// shortened returns a key as it stands in a path.
func shortened(key string) string {
	if ValidName(key) == nil || isCountry(key) {
		return key
	}
	return quoted(key)
}

// list reads a list that isn't empty, and reports whether all of it could be read. What is listed twice is a fault.
func (f *faults) list(n node, read func(item node) bool) bool {
	if n.Kind != yaml.SequenceNode {
		f.add(n.place(), "this is %s, but a list is needed: write it as [one, two]", n.what())
		return false
	}
	if len(n.Content) == 0 {
		f.add(n.place(), "this list is empty: list something, or leave the key out")
		return false
	}
	ok := true
	seen := map[string]bool{}
	for i, child := range n.Content {
		item := node{child, n.path + "[" + strconv.Itoa(i) + "]"}
		text, isText := f.text(item)
		if isText && seen[text] {
			f.add(item.place(), "%s is listed twice: keep it once", quoted(text))
			isText = false
		}
		seen[text] = true
		ok = isText && read(item) && ok
	}
	return ok
}

func (f *faults) text(n node) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.isNull() {
		f.add(n.place(), "this is %s, but a text is needed: write one", n.what())
		return "", false
	}
	if n.ShortTag() != "!!str" {
		f.add(n.place(), "%s is no text in YAML: put it in quotes", quoted(n.Value))
		return "", false
	}
	return n.Value, true
}

// reason reads a text that people are to read: a ground, a statute, a reference.
func (f *faults) reason(n node) (string, bool) {
	text, ok := f.text(n)
	switch {
	case !ok:
		return "", false
	case strings.TrimSpace(text) == "":
		f.add(n.place(), "this text is empty: write one, or leave the key out")
	case len(text) > maxTextBytes:
		f.add(n.place(), "this text has %d bytes, which is more than %d: shorten it, and refer to the rest", len(text), maxTextBytes)
	case strings.ContainsFunc(text, isControl):
		f.add(n.place(), "this text has control characters: take them out")
	default:
		return strings.TrimSpace(text), true
	}
	return "", false
}

func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

func (f *faults) boolean(n node) (value, ok bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && (n.Value == "true" || n.Value == "false") {
		return n.Value == "true", true
	}
	f.add(n.place(), "this is %s, but a yes or no is needed: write true or false", n.what())
	return false, false
}

// whole reads a whole number, in digits alone, between bounds.
func (f *faults) whole(n node, least, most uint64) (uint64, bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" {
		if value, err := strconv.ParseUint(n.Value, 10, 32); err == nil && value >= least && value <= most {
			return value, true
		}
	}
	f.add(n.place(), "this is %s, but a number from %d to %d is needed: write its digits", n.what(), least, most)
	return 0, false
}

const (
	day         = 24 * hour
	hour        = 60 * minute
	minute      = 60 * 1000
	maxDuration = 100 * 365 * day
	noDuration  = "none"
)

var durationUnits = map[string]int64{"min": minute, "h": hour, "d": day, "w": 7 * day, "mo": 30 * day, "y": 365 * day}

// duration reads a duration in milliseconds; "none" is 0. A month is 30 days and a year 365, so that every replica and every reader
// counts alike, whatever the calendar.
func (f *faults) duration(n node) (int64, bool) {
	if n.Kind == yaml.ScalarNode && n.Value == noDuration {
		return 0, true
	}
	if n.Kind == yaml.ScalarNode {
		digits := strings.TrimRightFunc(n.Value, func(r rune) bool { return r < '0' || r > '9' })
		unit, known := durationUnits[n.Value[len(digits):]]
		count, err := strconv.ParseUint(digits, 10, 32)
		if known && err == nil && count > 0 && int64(count) <= maxDuration/unit {
			return int64(count) * unit, true
		}
	}
	f.add(n.place(), "this is %s, but a duration is needed: write a number with min, h, d, w, mo (30 days) or y (365 days), "+
		"as 90d, up to 100y; or none", n.what())
	return 0, false
}
