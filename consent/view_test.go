package consent

import (
	"testing"
	"time"

	"github.com/consentd/consentd/consent/clocktest"
)

func TestViewAge(t *testing.T) {
	const bound = 2 * time.Second
	proven := time.Now()
	tests := []struct {
		name  string
		head  *Head
		now   time.Time
		age   time.Duration
		fresh bool
	}{
		{"just proven", &Head{}, proven, 0, true},
		{"within the bound", &Head{}, proven.Add(bound - 1), bound - 1, true},
		{"the bound itself", &Head{}, proven.Add(bound), bound, false},
		{"long ago", &Head{}, proven.Add(bound + time.Hour), bound + time.Hour, false},
		{"nothing was ever proven", nil, proven, 0, false},
		{"suspended for less than the bound", &Head{}, clocktest.MonotonicStoodStill(proven.Add(1), time.Second), time.Second + 1, true},
		{"suspended for the bound", &Head{}, clocktest.MonotonicStoodStill(proven, bound), bound, false},
		{"the wall clock was set back a little", &Head{}, clocktest.MonotonicStoodStill(proven.Add(bound-1), -time.Second), bound - 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			age, fresh := View{tt.head, proven, bound}.Age(tt.now)
			if age != tt.age || fresh != tt.fresh {
				t.Errorf("Age = %v, %v, want %v, %v", age, fresh, tt.age, tt.fresh)
			}
		})
	}
	if _, fresh := (View{}).Age(time.Now()); fresh {
		t.Error("the zero View is fresh")
	}
}

func TestHolds(t *testing.T) {
	const bound = 2 * time.Second
	tests := []struct {
		name            string
		monotonic, wall time.Duration
		want            bool
	}{
		{"just proven", 0, 0, true},
		{"almost the bound", bound - 1, bound - 1, true},
		{"the bound", bound, bound, false},
		{"the monotonic clock stood still", 0, bound, false},
		{"it stood still for less, and the bound has passed all the same", bound - 100, bound + 100, false},
		{"it stood still for a moment", time.Second - 100, time.Second, true},
		{"the wall clock stood still", bound, 0, false},
		{"the wall clock was set back a little", time.Second, -time.Second + 1, true},
		{"the wall clock was set back by the bound", time.Second, -time.Second, false},
		{"the wall clock was set ahead", time.Second, time.Hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := holds(tt.monotonic, tt.wall, bound); got != tt.want {
				t.Errorf("holds(%v, %v, %v) = %t, want %t", tt.monotonic, tt.wall, bound, got, tt.want)
			}
		})
	}
}
