package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/bench"
)

// benchLoad is one that bench check puts on, and what has to hold.
type benchLoad struct {
	rate    float64
	require string
}

// benchLoads are for a shop, a chain of them, and a network of advertisers. The limits are wide: whoever fails has found something.
var benchLoads = map[string]benchLoad{
	"s": {500, "p99<10ms,p99.9<100ms,errors=0,dropped=0,wrong=0,rate>=495"},
	"m": {2000, "p99<10ms,p99.9<100ms,errors=0,dropped=0,wrong=0,rate>=1980"},
	"l": {8000, "p99<10ms,p99.9<100ms,errors=0,dropped=0,wrong=0,rate>=7920"},
}

func newBenchCheckCommand(c *cli) *cobra.Command {
	load := "s"
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say in a few lines whether a server is fast enough",
		Long: `Say in a few lines whether a server is fast enough for a load: 500 (s), 2,000 (m) or 8,000 (l) requests a
second for 20 seconds, 95 % checks and 5 % writes. It passes if 99 % of the rate was reached, no request
failed, no answer was wrong, and the p99 is under 10 ms. There is nothing to tune. Without --addr it
measures a replica of its own.

The exit code is 0 for PASS and 99 for FAIL.`,
		Example: `  consentd bench check --load m
  consentd bench check --addr 10.0.0.1:7433`,
		Args: noArguments,
		RunE: c.does(func(cmd *cobra.Command, _ []string) error { return c.benchCheck(cmd, load) }),
	}
	cmd.Flags().StringVar(&load, "load", load, "how much: s, m or l")
	return cmd
}

// benchCheckOutput is what bench check prints for programs.
type benchCheckOutput struct {
	Load     string          `json:"load"`
	Passed   bool            `json:"passed"`
	Rate     float64         `json:"rate"`
	P50      float64         `json:"p50_us"`
	P99      float64         `json:"p99_us"`
	Verdicts []bench.Verdict `json:"verdicts"`
	Notes    []string        `json:"notes,omitempty"`
}

func (c *cli) benchCheck(cmd *cobra.Command, name string) error {
	load, known := benchLoads[name]
	if !known {
		return usageErrorf("--load %q: choose s, m or l", name)
	}
	required, err := bench.ParseThresholds(load.require)
	if err != nil {
		return err
	}
	b := &benchConfig{allowed: 0.5, arrivals: string(bench.Poisson)}
	b.Scenario, b.Rate, b.Duration, b.Seed = "mixed", load.rate, 20*time.Second, 1
	b.complete(c, cmd)
	stop, err := c.aim(cmd.Context(), cmd, b)
	if err != nil {
		return err
	}
	defer stop()
	r, err := c.runBench(cmd.Context(), b, func() (*bench.Report, error) { return bench.Run(cmd.Context(), b.Options) })
	if err != nil {
		return err
	}
	r.Judge(required)
	run := r.Runs[0]
	out := benchCheckOutput{name, r.Met(), run.Rate, run.Latency.P50, run.Latency.P99, r.Verdicts, run.Notes}
	if err := c.print(out, func(w io.Writer) { out.write(w, load.rate) }); err != nil {
		return err
	}
	switch {
	case r.Interrupted:
		return &exitError{exitInterrupted, errors.New("interrupted")}
	case !out.Passed:
		return quietly(exitThreshold)
	}
	return nil
}

func (o *benchCheckOutput) write(w io.Writer, rate float64) {
	verdict := "FAIL"
	if o.Passed {
		verdict = "PASS"
	}
	fmt.Fprintf(w, "%s: load %s, %.0f of %.0f requests/s, p50 %.2f ms, p99 %.2f ms\n", verdict, o.Load, o.Rate, rate, o.P50/1e3, o.P99/1e3)
	for _, v := range o.Verdicts {
		if !v.Met {
			fmt.Fprintf(w, "not met: %s\n", v.Threshold)
		}
	}
	if !o.Passed && len(o.Notes) > 0 {
		fmt.Fprintln(w, strings.Join(o.Notes, "\n"))
	}
}
