package mailinglist

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// moment is a time as a list says it: a span of a second, a minute or a day.
type moment struct {
	start time.Time
	span  time.Duration
}

// first is the earliest instant that the moment may be: that of a "yes".
func (m moment) first() *timestamppb.Timestamp {
	return timestamppb.New(m.start)
}

// last is the latest instant that the moment may be: that of a "no", so that a grant of the same day doesn't outlive it.
func (m moment) last() *timestamppb.Timestamp {
	return timestamppb.New(m.start.Add(m.span - time.Millisecond))
}

func (m moment) isZero() bool { return m.start.IsZero() }

// instant is a moment known to the millisecond.
func instant(t time.Time) moment {
	return moment{start: t.UTC(), span: time.Millisecond}
}

// The ways in which lists write times. What names no zone is UTC.
var timeLayouts = []struct {
	layout string
	span   time.Duration
}{
	{time.RFC3339, time.Millisecond},
	{"2006-01-02 15:04:05", time.Millisecond},
	{"2006-01-02T15:04:05", time.Millisecond},
	{"2006-01-02 15:04", time.Minute},
	{"2006-01-02T15:04", time.Minute},
	{"2006-01-02", 24 * time.Hour},
	{"2.1.2006 15:04:05", time.Millisecond},
	{"2.1.2006 15:04", time.Minute},
	{"2.1.2006", 24 * time.Hour},
}

// parseMoment reads a time of a list. An empty value is the zero moment.
func parseMoment(value string) (moment, error) {
	value = strings.TrimSpace(value)
	if value == "" {
		return moment{}, nil
	}
	for _, l := range timeLayouts {
		t, err := time.Parse(l.layout, value)
		if err != nil {
			continue
		}
		if !recordable(t) {
			return moment{}, rowError(reasonUnreadableTime, "%s lies outside the years 1970 to 2248", show(value))
		}
		return moment{start: t.UTC(), span: l.span}, nil
	}
	if strings.Count(value, "/") == 2 {
		return moment{}, rowError(reasonUnreadableTime, "%s: day and month can't be told apart", show(value))
	}
	return moment{}, rowError(reasonUnreadableTime,
		"%s is no time: write it as 2019-05-25 10:11:12, 2019-05-25T10:11:12Z or 25.05.2019 10:11", show(value))
}

// show quotes a cell for a message, unless it may be somebody's address or a text: a cell in the wrong column can be anything.
func show(value string) string {
	const longest = 40
	if strings.Contains(value, "@") || utf8.RuneCountInString(value) > longest || !utf8.ValidString(value) {
		return "the value"
	}
	return fmt.Sprintf("%q", value)
}

// parseDate reads a day and returns it as 2006-01-02. It may lie before 1970, as days of birth do.
func parseDate(value string) (string, error) {
	for _, layout := range []string{time.DateOnly, "2.1.2006"} {
		if day, err := time.Parse(layout, value); err == nil {
			return day.Format(time.DateOnly), nil
		}
	}
	return "", rowError(reasonUnusableValue, "%s is no date: write it as 1984-05-25 or 25.05.1984", show(value))
}
