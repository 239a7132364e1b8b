package bench

import (
	"fmt"
	"math"
	"testing"
)

func TestDatasetAllowsItsShare(t *testing.T) {
	for _, share := range []float64{0, 0.1, 0.5, 1} {
		d := newDataset(&Options{Subjects: 100_000, Allowed: share, Seed: 3})
		allowed := 0
		for n := range d.subjects {
			if d.allows(n) {
				allowed++
			}
		}
		if got := float64(allowed) / 100_000; math.Abs(got-share) > 0.01 {
			t.Errorf("%.3f are allowed, want %.1f", got, share)
		}
	}
}

func TestSubjectsAreDistinct(t *testing.T) {
	var d dataset
	for n, want := range map[uint64]string{0: "subject-0000000000", 7: "subject-0000000007", 1234567: "subject-0001234567", 12345678901: "subject-12345678901"} {
		if got := d.subject(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	marks := map[string]bool{}
	for _, o := range []Options{{Subjects: 10}, {Subjects: 11}, {Subjects: 10, Seed: 1}, {Subjects: 10, Allowed: 0.5}} {
		marks[newDataset(&o).mark()] = true
	}
	if len(marks) != 4 {
		t.Errorf("data sets share marks: %v", marks)
	}
}

// Drawn by Zipf's law, the first ranks come as often as they should.
func TestDrawFollowsZipf(t *testing.T) {
	const n, draws, skew = 10_000, 1_000_000, 0.99
	d := newLot(&Options{Subjects: n, Skew: skew, Seed: 1})
	var came [100]float64
	for i := range uint64(draws) {
		if rank := d.zipf.rank(float64(scatter(i)>>11) / (1 << 53)); rank < uint64(len(came)) {
			came[rank]++
		}
	}
	var got, want float64
	for rank := range came {
		got += came[rank] / draws
		want += math.Pow(float64(rank+1), -skew) / d.zipf.zeta
	}
	if math.Abs(got-want) > 0.02 {
		t.Errorf("the first %d of %d come with probability %.3f, want %.3f", len(came), n, got, want)
	}
}

func TestDrawIsWithin(t *testing.T) {
	for _, subjects := range []int{1, 2, 3, 1000} {
		for _, skew := range []float64{0, 0.5, 0.99} {
			t.Run(fmt.Sprint(subjects, skew), func(t *testing.T) {
				d := newLot(&Options{Subjects: subjects, Skew: skew})
				for i := range uint64(10_000) {
					if got := d.at(i); got >= uint64(subjects) || got != d.at(i) {
						t.Fatalf("draw %d is %d", i, got)
					}
				}
			})
		}
	}
}
