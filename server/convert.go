package server

import (
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const defaultTenant = "default"

// tenantName returns the tenant that a request names.
func tenantName(name string) (string, error) {
	if name == "" {
		return defaultTenant, nil
	}
	if consent.ValidName(name) != nil { // whose message repeats the name, which may be a subject's id in the wrong field
		return "", invalid("tenant", "no tenant can be named so: use 1 to 64 of a to z, 0 to 9, _ - and .")
	}
	return name, nil
}

// consistencyOf returns what a request demands of the state under its answer.
func consistencyOf(c *consentv1.Consistency) (consent.Consistency, error) {
	if token := c.GetAtLeast(); token != "" {
		revision, err := consent.ParseRevision(token)
		if err != nil {
			return consent.Consistency{}, invalid("consistency.at_least", "it is no revision: pass one on exactly as a reply gave it")
		}
		return consent.Consistency{AtLeast: revision}, nil
	}
	return consent.Consistency{Full: c.GetFullyConsistent()}, nil
}

// questionOf returns what a caller adds to subject and permission.
func questionOf(t consentv1.SubjectType, similarGoods bool) (consent.Question, error) {
	switch t {
	case consentv1.SubjectType_SUBJECT_TYPE_UNSPECIFIED, consentv1.SubjectType_SUBJECT_TYPE_CONSUMER:
		return consent.Question{SubjectType: consent.Consumer, SimilarGoods: similarGoods}, nil
	case consentv1.SubjectType_SUBJECT_TYPE_BUSINESS:
		return consent.Question{SubjectType: consent.Business, SimilarGoods: similarGoods}, nil
	default:
		return consent.Question{}, invalid("subject_type", "%d is no type of subject: take one of the list, or leave it out", t)
	}
}

// fits reports whether a number of the contract is one that the law's types can hold, so that none is cut to another.
func fits[E ~int32](number E) bool { return number >= 0 && number < 256 }

func decisionOf(allowed bool) consentv1.Decision {
	if allowed {
		return consentv1.Decision_DECISION_ALLOW
	}
	return consentv1.Decision_DECISION_DENY
}

// obligationSets are the lists of all sets of obligations: shared, never written.
var obligationSets = [...][]consentv1.Obligation{
	0:                                   nil,
	consent.LogUse:                      {consentv1.Obligation_OBLIGATION_LOG_USE},
	consent.ShowOptOut:                  {consentv1.Obligation_OBLIGATION_SHOW_OPT_OUT},
	consent.LogUse | consent.ShowOptOut: {consentv1.Obligation_OBLIGATION_LOG_USE, consentv1.Obligation_OBLIGATION_SHOW_OPT_OUT},
}

func obligationsOf(o consent.Obligations) []consentv1.Obligation { return obligationSets[o] }

// timestamp returns nil for no time.
func timestamp(t consent.Time) *timestamppb.Timestamp {
	if t == 0 {
		return nil
	}
	stamp := new(timestamppb.Timestamp)
	setTimestamp(stamp, t)
	return stamp
}

// setTimestamp fills in a time in place, so that many can be allocated at once.
func setTimestamp(stamp *timestamppb.Timestamp, t consent.Time) {
	const perSecond = 1000
	seconds, millis := int64(t)/perSecond, int64(t)%perSecond
	if millis < 0 {
		seconds, millis = seconds-1, millis+perSecond
	}
	stamp.Seconds, stamp.Nanos = seconds, int32(millis)*int32(time.Millisecond)
}

func setDuration(duration *durationpb.Duration, d time.Duration) {
	duration.Seconds, duration.Nanos = int64(d/time.Second), int32(d%time.Second)
}

// timeOf returns the time that a request names, zero for none alone. What lies outside of the calendar becomes a time that no event can
// have: whether that is refused is for the law to say, which never refuses a "no" for its date.
func timeOf(t *timestamppb.Timestamp) consent.Time {
	const firstSecond, lastSecond = -62135596800, 253402300799 // of the years 1 and 9999
	switch {
	case t == nil:
		return 0
	case t.GetSeconds() < firstSecond:
		return consent.MinTime - 2
	case t.GetSeconds() > lastSecond:
		return consent.MaxTime + 1
	}
	if at := consent.TimeOf(t.AsTime()); at != 0 {
		return at
	}
	return consent.MinTime
}

// pointers returns pointers to the elements of a slice, which is how messages hold messages.
func pointers[T any](values []T) []*T {
	list := make([]*T, len(values))
	for i := range values {
		list[i] = &values[i]
	}
	return list
}
