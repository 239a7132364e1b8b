package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Schema names the form of a Report in JSON. Another number means that fields have another meaning; fields may come without one.
const Schema = "consentd.bench/1"

// Report is what was measured, how, and where.
type Report struct {
	Schema      string      `json:"schema"`
	Began       time.Time   `json:"began"`
	Settings    Settings    `json:"settings"`
	Environment Environment `json:"environment"`
	Runs        []Result    `json:"runs"`                  // one for each repeat
	Interrupted bool        `json:"interrupted,omitempty"` // the last run, or those after it, are missing in part
	Verdicts    []Verdict   `json:"verdicts,omitempty"`    // on what was required
}

// Settings are what was asked for.
type Settings struct {
	Scenario  string  `json:"scenario"`
	Target    string  `json:"target"`    // addresses, or "a replica of its own"
	Transport string  `json:"transport"` // "unix", "tcp" or "tls"
	Loop      string  `json:"loop"`      // "open" or "closed"
	Rate      float64 `json:"rate"`      // requests/s of an open loop
	Arrivals  string  `json:"arrivals"`  // "even" or "poisson", of an open loop
	Callers   int     `json:"callers"`   // of a closed loop; of an open one, how many requests may be on their way
	Seconds   float64 `json:"seconds"`
	Warmup    float64 `json:"warmup_seconds"`
	Repeats   int     `json:"repeats"`
	Seed      uint64  `json:"seed"`
	Subjects  int     `json:"subjects"`
	Skew      float64 `json:"skew"`    // of Zipf's law; 0 draws evenly
	Allowed   float64 `json:"allowed"` // share of subjects whose answer is ALLOW
}

// Environment is where it was measured, and by what.
type Environment struct {
	Version    string  `json:"version"`
	Commit     string  `json:"commit"`
	Toolchain  string  `json:"toolchain"`
	Kernel     string  `json:"kernel"`
	Processor  string  `json:"processor"`
	Processors int     `json:"processors"` // that the generator may use
	MemoryGiB  float64 `json:"memory_gib"`
	Load       string  `json:"load"`        // averages before the run
	Limits     string  `json:"limits"`      // of the generator's cgroup, and of open files
	SameHost   bool    `json:"same_host"`   // server and generator share the processors
	ServerInfo string  `json:"server_info"` // what the server says of itself
}

// Result is what one run came to, without its warm-up.
type Result struct {
	Seconds  float64           `json:"seconds"`
	Offered  float64           `json:"offered"`  // requests/s of the schedule; 0 in a closed loop
	Rate     float64           `json:"rate"`     // requests/s that were answered without an error
	Unit     string            `json:"unit"`     // what a request is made of: "checks", "decisions", "events"
	Units    float64           `json:"units"`    // of them in a second
	Requests uint64            `json:"requests"` // that were due
	Late     uint64            `json:"late"`     // sent more than a millisecond after they were due
	Dropped  uint64            `json:"dropped"`  // never sent: too many were on their way
	Errors   uint64            `json:"errors"`
	ErrorsBy map[string]uint64 `json:"errors_by,omitempty"` // code, and reason if there is one
	Wrong    uint64            `json:"wrong"`               // answers that aren't what the data set says
	Checked  uint64            `json:"checked"`             // answers that were compared
	Latency  Latency           `json:"latency"`
	Server   *Usage            `json:"server,omitempty"` // nil if it couldn't be asked
	Client   Usage             `json:"generator"`
	Series   []Moment          `json:"series"`
	Extra    []Figure          `json:"extra,omitempty"`
	Notes    []string          `json:"notes,omitempty"` // what a reader has to know, as that the generator was the bottleneck
	Encoded  string            `json:"histogram"`       // of latencies in 100 ns, HdrHistogram V2, compressed, base64

	histogram *hdrhistogram.Histogram
}

// Latency is in microseconds, of requests that were answered without an error.
type Latency struct {
	Mean  float64 `json:"mean_us"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	P9999 float64 `json:"p9999_us"`
	Max   float64 `json:"max_us"`
}

// Usage is processor time.
type Usage struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	PerUnit    float64 `json:"cpu_us_per_unit"` // microseconds
	Share      float64 `json:"share"`           // of the processors that it may use; 0 if they aren't known
}

// Moment is one interval of a run.
type Moment struct {
	At     float64 `json:"at_seconds"` // its end, from the end of the warm-up
	Rate   float64 `json:"rate"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	Errors uint64  `json:"errors"`
}

// Figure is one that only some scenarios have.
type Figure struct {
	Name  string  `json:"name"` // words with dashes between them, as "last-allow": at least one dash, so that thresholds tell it from a mistake
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Verdict is on one threshold.
type Verdict struct {
	Threshold string  `json:"threshold"`
	Got       float64 `json:"got"` // in the threshold's unit; durations in microseconds
	Met       bool    `json:"met"`
	Why       string  `json:"why,omitempty"` // there is nothing got
}
