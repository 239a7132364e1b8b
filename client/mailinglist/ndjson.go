package mailinglist

import (
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// eventRows are the lines of an NDJSON file.
type eventRows struct {
	lines   *lineReader
	file    *file
	options *Options
	closer  io.Closer
}

func (e *eventRows) close() error { return e.closer.Close() }

func (e *eventRows) next() (Row, error) {
	l, err := firstLine(e.lines)
	if err != nil {
		return Row{}, err
	}
	row := Row{Line: l.number}
	switch {
	case l.long:
		row.Err = errLong
	case !legible(l.text, e.file.encoding):
		row.Err = errEncoding
	default:
		e.read(&row, l.text)
	}
	return row, nil
}

func (e *eventRows) read(row *Row, text string) {
	event := &consentv1.Event{}
	if err := protojson.Unmarshal([]byte(text), event); err != nil {
		row.Err = jsonError(err)
		return
	}
	row.Subject = event.GetSubject()
	if row.Err = checkSubject(row.Subject); row.Err != nil {
		return
	}
	if row.Err = e.complete(event); row.Err == nil {
		row.Events = []*consentv1.Event{event}
	}
}

// complete gives an event what the options say of those that don't say it, and refuses one that lacks its kind or time.
func (e *eventRows) complete(event *consentv1.Event) error {
	if event.GetKind() == consentv1.EventKind_EVENT_KIND_UNSPECIFIED {
		return rowError(reasonUnusableValue, "the event has no kind")
	}
	if event.OccurredAt == nil && !e.options.At.IsZero() {
		event.OccurredAt = timestamppb.New(e.options.At)
	}
	if event.OccurredAt == nil {
		return errNoTime
	}
	if err := event.OccurredAt.CheckValid(); err != nil || !recordable(event.OccurredAt.AsTime()) {
		return rowError(reasonUnreadableTime, "the event's time lies outside the years 1970 to 2248")
	}
	if event.GetKind() == consentv1.EventKind_EVENT_KIND_GRANTED && event.GetEvidence().GetNoticeVersion() == 0 &&
		e.options.NoticeVersion != 0 {
		if event.Evidence == nil {
			event.Evidence = &consentv1.Evidence{}
		}
		event.Evidence.NoticeVersion = e.options.NoticeVersion
	}
	return notLater(event, e.options)
}

// jsonError says what is wrong with a line, but not what stands there if that may be somebody's address.
func jsonError(err error) error {
	// protojson writes a no-break space here and there, so that nobody relies on its texts.
	detail := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	if strings.Contains(detail, "@") {
		return rowError(reasonUnreadableRow, "the line is no event of consent.v1 as JSON")
	}
	return rowError(reasonUnreadableRow, "the line is no event of consent.v1 as JSON: %s", strings.TrimPrefix(detail, "proto: "))
}
