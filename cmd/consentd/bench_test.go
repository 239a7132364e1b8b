package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consentd/consentd/bench"
	"github.com/consentd/consentd/client"
)

// runBench runs bench of the real binary, whose scratch files lie in a directory that has to be empty afterwards.
func runBench(t *testing.T, args ...string) result {
	t.Helper()
	scratch := shortDir(t)
	got := runBinary(t, []string{"TMPDIR=" + scratch}, append([]string{"bench"}, args...)...)
	left, err := os.ReadDir(scratch)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return got
}

// short is a run that measures little, and says what it has to.
func short(args ...string) []string {
	return append([]string{"--duration", "1s", "--warmup", "200ms", "--subjects", "1000", "--no-progress"}, args...)
}

func readReport(t *testing.T, got result) *bench.Report {
	t.Helper()
	r, err := bench.ReadReport(strings.NewReader(got.stdout))
	if err != nil {
		t.Fatalf("%v: exit code %d, %s", err, got.code, got.stderr)
	}
	return r
}

func TestBenchMeasuresAReplicaOfItsOwn(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "report.html")
	got := runBench(t, short("--rate", "200", "-o", "json", "--require", "errors<100%,wrong=0,p99<1m", "--html", page)...)
	r := readReport(t, got)
	if got.code != exitDone || got.stderr != "" || !r.Met() || len(r.Verdicts) != 3 {
		t.Errorf("exit code %d, %q, verdicts %+v", got.code, got.stderr, r.Verdicts)
	}
	run := r.Runs[0]
	if run.Requests < 190 || run.Checked == 0 || run.Server == nil || run.Server.CPUSeconds <= 0 || r.Environment.ServerInfo == "" {
		t.Errorf("%+v, %+v", run, r.Environment)
	}
	text, err := os.ReadFile(page)
	if err != nil || !bytes.Contains(text, []byte("<svg")) {
		t.Errorf("the page has %d bytes and no picture: %v", len(text), err)
	}
}

func TestBenchSaysWhatIsNotMet(t *testing.T) {
	t.Parallel()
	got := runBench(t, short("--rate", "100", "--require", "p99<1us")...)
	if got.code != exitThreshold || !strings.Contains(got.stdout, "p99<1us") || !strings.Contains(got.stderr, "not all that is required is met") {
		t.Errorf("exit code %d, %q, %q", got.code, got.stdout, got.stderr)
	}
}

func TestBenchOfARunningServer(t *testing.T) {
	t.Parallel()
	p := spawn(t, filepath.Join(t.TempDir(), "data"), "--pprof")
	profiles := t.TempDir()
	args := short("--addr", p.addr, "--ops", p.ops, "--scenario", "mixed", "--rate", "100", "-o", "json", "--pprof", profiles)
	first := readReport(t, runBench(t, args...))
	if first.Runs[0].Server == nil || first.Runs[0].Rate == 0 {
		t.Errorf("%+v", first.Runs[0])
	}
	for _, kind := range []string{"cpu", "heap"} {
		if info, err := os.Stat(filepath.Join(profiles, "mixed-server1."+kind+".pprof")); err != nil || info.Size() == 0 {
			t.Errorf("no %s profile: %v", kind, err)
		}
	}
	args[len(args)-1] = t.TempDir()
	again := runBench(t, append(args[:6:6], args[7:]...)...) // with progress
	if again.code != exitDone || strings.Contains(again.stderr, "writing") {
		t.Errorf("the data set wasn't found again: exit code %d, %q", again.code, again.stderr)
	}
	if got := runBench(t, short("--addr", p.addr, "--tenant", "default")...); got.code != exitFailed || !strings.Contains(got.stderr, "nobody uses") {
		t.Errorf("a tenant of others was measured: exit code %d, %q", got.code, got.stderr)
	}
}

func TestBenchThatBreaksClusters(t *testing.T) {
	t.Parallel()
	got := runBench(t, short("--duration", "3s", "--scenario", "leader-kill", "--rate", "50", "-o", "json", "--require", "first-write<1m")...)
	if r := readReport(t, got); got.code != exitDone || !r.Met() {
		t.Errorf("exit code %d, %s, %+v", got.code, got.stderr, r)
	}
}

func TestBenchOfSidecars(t *testing.T) {
	t.Parallel()
	got := runBench(t, short("--scenario", "withdraw", "--sidecars", "2", "--rate", "50", "-o", "json", "--require", "last-allow<1m,withdrawal-count>0")...)
	if r := readReport(t, got); got.code != exitDone || !r.Met() {
		t.Errorf("exit code %d, %s, %+v", got.code, got.stderr, r.Verdicts)
	}
}

func TestBenchFindsTheHighestRate(t *testing.T) {
	t.Parallel()
	got := runBench(t, short("--find-max", "--slo", "p99<1us", "--rate", "20", "--duration", "100ms", "-o", "json")...)
	r := readReport(t, got)
	if figures := r.Runs[0].Extra; got.code != exitThreshold || len(figures) != 1 || figures[0].Name != "max-rate" || figures[0].Value != 0 {
		t.Errorf("exit code %d, %+v", got.code, figures)
	}
}

func TestBenchIsInterrupted(t *testing.T) {
	t.Parallel()
	scratch := shortDir(t)
	cmd := exec.Command(binary(t), "bench", "--duration", "1m", "--warmup", "0s", "--subjects", "1000", "-o", "json")
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	var stdout bytes.Buffer
	said := &waitingWriter{words: "wrote them", seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &stdout, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-said.seen
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, want exit code %d", err, exitInterrupted)
	}
	r, err := bench.ReadReport(&stdout)
	if err != nil || !r.Interrupted || len(r.Runs) != 1 {
		t.Errorf("%v, %+v", err, r)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// waitingWriter tells when some words were written.
type waitingWriter struct {
	text  bytes.Buffer
	words string
	seen  chan struct{}
	told  bool
}

func (w *waitingWriter) Write(p []byte) (int, error) {
	n, err := w.text.Write(p)
	if !w.told && strings.Contains(w.text.String(), w.words) {
		w.told = true
		close(w.seen)
	}
	return n, err
}

func TestBenchCheck(t *testing.T) {
	t.Parallel()
	got := runBench(t, "check", "-o", "json")
	var out benchCheckOutput
	if err := json.Unmarshal([]byte(got.stdout), &out); err != nil {
		t.Fatalf("%v: %d, %s", err, got.code, got.stderr)
	}
	if out.Passed != (got.code == exitDone) || !out.Passed && got.code != exitThreshold || out.Load != "s" || len(out.Verdicts) < 4 {
		t.Errorf("exit code %d, %+v", got.code, out)
	}
	for _, v := range out.Verdicts {
		if !v.Met && strings.HasPrefix(v.Threshold, "wrong") {
			t.Error("there were wrong answers")
		}
	}
}

func TestBenchCompare(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, change func(*bench.Report)) string {
		r := &bench.Report{Schema: bench.Schema, Settings: bench.Settings{Scenario: "check", Loop: "open", Rate: 100}, Runs: []bench.Result{
			{Seconds: 1, Rate: 100, Offered: 100, Requests: 100, Latency: bench.Latency{P50: 100, P99: 1000, Max: 2000}},
		}}
		change(r)
		path := filepath.Join(dir, name)
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := bench.WriteJSON(file, r); err != nil {
			t.Fatal(err)
		}
		return path
	}
	before := write("old.json", func(*bench.Report) {})
	slower := write("slower.json", func(r *bench.Report) { r.Runs[0].Latency.P99 = 2000 })
	other := write("other.json", func(r *bench.Report) { r.Settings.Scenario = "write" })
	for _, test := range []struct {
		name  string
		args  []string
		code  int
		words string
	}{
		{"nothing allowed", []string{before, slower}, exitDone, "p99"},
		{"within", []string{before, slower, "--max-regress", "p99=150%"}, exitDone, "p99"},
		{"worse", []string{before, slower, "--max-regress", "p99=5%"}, exitThreshold, "worse than --max-regress allows"},
		{"better", []string{slower, before, "--max-regress", "p99=5%"}, exitDone, "p99"},
		{"another scenario", []string{before, other}, exitFailed, "scenario"},
		{"one file", []string{before}, exitUsage, "name two reports"},
		{"no file", []string{before, dir + "/none"}, exitFailed, "none"},
		{"no limit", []string{before, slower, "--max-regress", "p99"}, exitUsage, "--max-regress"},
	} {
		got := call{args: append([]string{"bench", "compare"}, test.args...)}.run(t)
		if got.code != test.code || !strings.Contains(got.stdout+got.stderr, test.words) {
			t.Errorf("%s: exit code %d, want %d with the words %q: %s%s", test.name, got.code, test.code, test.words, got.stdout, got.stderr)
		}
	}
}

// A server on another machine is asked as by all commands, which have no TLS yet.
func TestBenchAsksOtherMachines(t *testing.T) {
	var b benchConfig
	b.complete(&cli{}, newBenchCommand(&cli{}))
	conn, err := client.Connect("192.0.2.1:7433", b.Conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestBenchCalledWrongly(t *testing.T) {
	t.Parallel()
	for words, args := range map[string][]string{
		`there is no scenario "chek"`:    {"--scenario", "chek"},
		"--find-max finds the highest":   {"--find-max"},
		"--slo is what --find-max looks": {"--slo", "p99<1ms"},
		"leave one of them out":          {"--closed", "--rate", "5"},
		"--replicas is about":            {"--addr", "unix:///s", "--replicas", "3"},
		"name them by --addr":            {"--ops", "127.0.0.1:1"},
		"--require":                      {"--require", "p99"},
		"is no share":                    {"--allowed", "half"},
		"choose one of":                  {"-o", "yaml"},
		"--sidecars":                     {"--sidecars", "-1"},
		`unknown command "chekc"`:        {"chekc"},
		`--load "xl"`:                    {"check", "--load", "xl"},
	} {
		got := call{args: append([]string{"bench"}, args...)}.run(t)
		if got.code != exitUsage || !strings.Contains(got.stderr, words) {
			t.Errorf("%v: exit code %d, %q, want the words %q", args, got.code, got.stderr, words)
		}
	}
}
