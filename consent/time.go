package consent

import "time"

// Time is an instant in milliseconds since 1970-01-01 UTC. Zero means that there is none.
type Time int64

// The instants that events may carry. Earlier and later ones don't fit a record.
const (
	MinTime Time = 1
	MaxTime Time = 1<<43 - 1 // in the year 2248
)

// TimeOf returns the millisecond that t lies in, and zero for the zero time.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMilli())
}

// Std returns t as a time of the standard library in UTC, and the zero time for zero.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(t)).UTC()
}

// String returns t in RFC 3339, and "none" for zero.
func (t Time) String() string {
	if t == 0 {
		return "none"
	}
	return t.Std().Format("2006-01-02T15:04:05.999Z07:00")
}
