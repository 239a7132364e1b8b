package consent

import (
	"testing"
	"time"
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
	for _, moved := range []time.Duration{-time.Hour, -bound, bound, time.Hour} {
		if holds(time.Second, time.Second+moved, bound) {
			t.Errorf("the proof holds though the clocks moved apart by %v", moved)
		}
	}
	for _, moved := range []time.Duration{-bound + 1, 0, bound - 1} {
		if !holds(time.Second, time.Second+moved, bound) {
			t.Errorf("the proof doesn't hold though the clocks moved apart by %v only", moved)
		}
	}
	if holds(bound, bound, bound) {
		t.Error("the proof holds at the bound")
	}
}
