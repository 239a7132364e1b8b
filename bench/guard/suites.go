package main

// suite is what is measured of a package, always with the same number of iterations, so that what is allocated once is so on both sides. What
// is short is measured several times in a turn, of which the quickest counts: one of a few milliseconds is seldom interrupted.
type suite struct {
	room    string // the package's folder
	pattern string // as -test.bench has it
	times   string // as -test.benchtime has it
	count   string // as -test.count has it
}

var suites = []suite{
	{"consent", "^BenchmarkDecide$", "200000x", "1"},
	{"proto/wire", "^BenchmarkMessages$", "1000x", "10"},
	{"server", "^BenchmarkCheckHandler$", "50000x", "1"},
	{"cache", "^BenchmarkHit$", "100000x", "2"},
	{"store", "^BenchmarkRecordAndDecide$/^subjects=1000$", "20000x", "10"},
	{"store", "^BenchmarkRecordAndDecide$/^subjects=1000000$", "300000x", "1"},
	{"bench", "^BenchmarkCheck$/memory/^1$", "5000x", "1"},
	{"bench", "^BenchmarkCheck$/unix/^64$", "20000x", "1"},
}

// comparison is a benchmark with its baseline in the same run. Where nothing else can be compared with, it may take limit times as long.
type comparison struct {
	name, baseline string
	limit          float64
}

// The limits are about twice what was reached when they were set (bench/results).
func comparisons() []comparison {
	return []comparison{
		{"store.RecordAndDecide/subjects=1000/allow/1000", "store.RecordAndDecide/subjects=1000/map/hit/1000", 8},
		{"store.RecordAndDecide/subjects=1000/deny/1000", "store.RecordAndDecide/subjects=1000/map/hit/1000", 12},
		{"store.RecordAndDecide/subjects=1000/unknown/1000", "store.RecordAndDecide/subjects=1000/map/miss/1000", 6},
		{"store.RecordAndDecide/subjects=1000000/allow/1000000", "store.RecordAndDecide/subjects=1000000/map/hit/1000000", 3},
		{"store.RecordAndDecide/subjects=1000000/deny/1000000", "store.RecordAndDecide/subjects=1000000/map/hit/1000000", 3},
		{"store.RecordAndDecide/subjects=1000000/unknown/1000000", "store.RecordAndDecide/subjects=1000000/map/miss/1000000", 3},
		{"cache.Hit/cache/1000", "cache.Hit/map/1000", 4},
		{"cache.Hit/cache/100000", "cache.Hit/map/100000", 4},
		{"wire.Messages/questions/read/wire", "wire.Messages/questions/read/generated", 1},
		{"wire.Messages/questions/write/wire", "wire.Messages/questions/write/generated", 1},
		{"wire.Messages/answers/read/wire", "wire.Messages/answers/read/generated", 1},
		{"wire.Messages/answers/write/wire", "wire.Messages/answers/write/generated", 1},
		{"bench.Check/memory/1/check", "bench.Check/memory/1/empty", 2},
		{"bench.Check/unix/64/check", "bench.Check/unix/64/empty", 2},
	}
}
