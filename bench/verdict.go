package bench

import "slices"

// Met reports whether all thresholds are met that the report was judged by.
func (r *Report) Met() bool {
	return !slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return !v.Met })
}

// Wrong returns how many answers weren't what the data set says, in all runs.
func (r *Report) Wrong() (n uint64) {
	for i := range r.Runs {
		n += r.Runs[i].Wrong
	}
	return n
}
