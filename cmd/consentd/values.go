package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// nameOf is the name of an enum's value without the enum's own name: REASON_NO_CONSENT is NO_CONSENT. A value of a later contract is
// its number.
func nameOf(value protoreflect.Enum) string {
	return enumName(value.Descriptor(), value.Number())
}

func enumName(enum protoreflect.EnumDescriptor, number protoreflect.EnumNumber) string {
	known := enum.Values().ByNumber(number)
	if known == nil {
		return fmt.Sprint(number)
	}
	return strings.TrimPrefix(string(known.Name()), enumPrefix(enum))
}

// enumPrefix is EVENT_KIND_ for EventKind.
func enumPrefix(enum protoreflect.EnumDescriptor) string {
	var prefix strings.Builder
	for i, c := range string(enum.Name()) {
		if i > 0 && unicode.IsUpper(c) {
			prefix.WriteByte('_')
		}
		prefix.WriteRune(unicode.ToUpper(c))
	}
	return prefix.String() + "_"
}

// enumNames are the names of every value but the zero one, in lower case, as flags take them.
func enumNames(enum protoreflect.EnumDescriptor) []string {
	var names []string
	for i := range enum.Values().Len() {
		if value := enum.Values().Get(i); value.Number() != 0 {
			names = append(names, strings.ToLower(enumName(enum, value.Number())))
		}
	}
	return names
}

// parseEnum takes a name in any letter case, with hyphens or underscores.
func parseEnum[E interface {
	~int32
	protoreflect.Enum
}](name string) (E, error) {
	var zero E
	enum := zero.Descriptor()
	full := enumPrefix(enum) + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	value := enum.Values().ByName(protoreflect.Name(full))
	if value == nil || value.Number() == 0 {
		return zero, fmt.Errorf("%q isn't one of %s", name, strings.Join(enumNames(enum), ", "))
	}
	return E(value.Number()), nil
}

// outputTime is a time in the output: RFC 3339 in UTC to the millisecond, or null.
func outputTime(t *timestamppb.Timestamp) *string {
	if t == nil {
		return nil
	}
	text := timeText(t.AsTime())
	return &text
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z07:00") }

// durationText is a duration as Go writes it, as "1.75s".
func durationText(d *durationpb.Duration) string { return d.AsDuration().String() }

func obligationNames(obligations []consentv1.Obligation) []string {
	names := make([]string, 0, len(obligations))
	for _, obligation := range obligations {
		names = append(names, nameOf(obligation))
	}
	return names
}

// bytesText is a number of bytes as people say it.
func bytesText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// orDash is for cells of a table that have nothing to say.
func orDash(text string) string {
	if text == "" || text == "UNSPECIFIED" {
		return "-"
	}
	return text
}

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			text = append(text, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		text = append(append(append(text, name...), ':'), value...)
	}
	return append(text, '}'), nil
}
