package main

// suite is what is measured of a package, always with the same number of iterations, so that what is allocated once is so on both sides.
type suite struct {
	room    string // the package's folder
	pattern string // as -test.bench has it
	times   string // as -test.benchtime has it
}

var suites = []suite{
	{"consent", "^BenchmarkDecide$", "200000x"},
	{"proto/wire", "^BenchmarkMessages$", "20000x"},
	{"server", "^BenchmarkCheckHandler$", "50000x"},
	{"cache", "^BenchmarkHit$", "300000x"},
	{"store", "^BenchmarkRecordAndDecide$", "300000x"},
	{"bench", "^BenchmarkCheck$/memory/^1$", "5000x"},
	{"bench", "^BenchmarkCheck$/unix/^64$", "20000x"},
}

// comparison is a benchmark with its baseline in the same run. Where nothing else can be compared with, it may take limit times as long.
type comparison struct {
	name, baseline string
	limit          float64
}

// The limits are about twice what was reached when they were set (bench/results).
func comparisons() []comparison {
	return []comparison{
		{"store.RecordAndDecide/allow/1000", "store.RecordAndDecide/map/hit/1000", 8},
		{"store.RecordAndDecide/deny/1000", "store.RecordAndDecide/map/hit/1000", 12},
		{"store.RecordAndDecide/unknown/1000", "store.RecordAndDecide/map/miss/1000", 6},
		{"store.RecordAndDecide/allow/1000000", "store.RecordAndDecide/map/hit/1000000", 3},
		{"store.RecordAndDecide/deny/1000000", "store.RecordAndDecide/map/hit/1000000", 3},
		{"store.RecordAndDecide/unknown/1000000", "store.RecordAndDecide/map/miss/1000000", 3},
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
