package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// result is what was measured: figures by benchmark and unit, and the lines about machine and commit.
type result struct {
	head    map[string]string
	figures map[string]map[string]float64
}

// processors is the end of a benchmark's name.
var processors = regexp.MustCompile(`-\d+$`)

// errNothing is returned for a file without a measured service.
var errNothing = errors.New("holds no result of BenchmarkServices: run make rivals")

func parse(text string) (result, error) {
	r := result{map[string]string{}, map[string]map[string]float64{}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if key, value, isHead := strings.Cut(strings.TrimSpace(line), ": "); isHead && !strings.Contains(key, " ") {
			r.head[key] = value
		}
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		figures := map[string]float64{}
		for i := 2; i+1 < len(words); i += 2 {
			value, err := strconv.ParseFloat(words[i], 64)
			if err != nil {
				return r, fmt.Errorf("%q is no result: %w", strings.TrimSpace(line), err)
			}
			figures[words[i+1]] = value
		}
		r.figures[processors.ReplaceAllString(strings.TrimPrefix(words[0], "Benchmark"), "")] = figures
	}
	for _, s := range services {
		if r.service(s.name, 64) != nil {
			return r, nil
		}
	}
	return r, errNothing
}

// service returns the figures of a service, or nil if it wasn't measured.
func (r result) service(name string, callers int) map[string]float64 {
	return r.figures[fmt.Sprintf("Services/%s/callers=%d", name, callers)]
}

// check returns how many unary checks a second were answered, in the middle of what they were measured beside.
func (r result) check(callers int) float64 {
	var all []float64
	for _, s := range services {
		if f := r.service(s.name, callers); f != nil {
			all = append(all, f["check/s"])
		}
	}
	return median(all)
}

// labelled is a benchmark and what readers call it.
type labelled struct{ name, label string }

var services = []labelled{
	{"empty/unix", "empty gRPC handler"},
	{"consentd/check/tcp", "consentd Check over TCP"},
	{"consentd/stream/unix", "consentd, SDK's shared stream"},
	{"consentd/batch/unix", "consentd BatchCheck of 16"},
	{"redis/get/unix", "Redis GET, bare client"},
	{"redis/pipeline/unix", "Redis 16 GETs piped, bare client"},
	{"go-redis/get/unix", "Redis GET, go-redis"},
	{"go-redis/pipeline/unix", "Redis 16 GETs piped, go-redis"},
	{"etcd/linearizable/tcp", "etcd linearizable get, TCP"},
	{"etcd/serializable/tcp", "etcd serializable get, TCP"},
	{"consentd/near-cache", "consentd near cache, in process"},
	{"opa", "OPA, in process"},
}

var caches = []labelled{
	{"otter", "otter v2"},
	{"theine", "theine"},
	{"ristretto", "ristretto, bare"},
	{"map", "sharded map"},
}
