package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/bench"
	"github.com/consentd/consentd/client"
)

// benchConfig is what bench takes.
type benchConfig struct {
	bench.Options
	own        ownConfig
	arrivals   string
	allowed    percentage
	require    string
	slo        string
	findMax    bool
	html       string
	noProgress bool
	format     benchFormat
}

func newBenchCommand(c *cli) *cobra.Command {
	b := &benchConfig{format: "table", allowed: 0.5}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast a server answers, and how sure that is",
		Long: `Measure how fast a server answers. Without --addr it starts replicas of its own, in processes of their
own with files in a temporary directory, and ends them afterwards. With --addr it measures a server
that runs, and writes to it: subjects of tenant "bench", or the one that --tenant says, which mustn't
be used for anything else. The data set stays, and is found again by the next run.

The load is an open loop, unless --closed is said: requests are due by a schedule, and their latency
counts from when they were due, so a server that stalls is charged for everyone who would have come.
What was late or never sent is counted, and every answer is compared with the data set.

` + scenarioHelp() + `
The exit code is 0 if it could be measured, 1 if not or if any answer was wrong, 2 if the command was
called wrongly, 99 if what --require or --slo says isn't met, and 130 if it was interrupted, in which
case the report of what was measured until then is still written.`,
		Example: `  consentd bench
  consentd bench --scenario check-stream --rate 50000 --duration 30s --repeats 5 -o json > new.json
  consentd bench --addr 10.0.0.1:7433 --ops 10.0.0.1:7434 --scenario batch-100 --html report.html
  consentd bench --scenario check --find-max --slo 'p99<1ms'
  consentd bench --closed -c 64 --require 'p99<10ms,errors=0'
  consentd bench compare old.json new.json --max-regress p99=5%`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: c.does(func(cmd *cobra.Command, _ []string) error { return c.bench(cmd, b) }),
	}
	b.add(cmd)
	cmd.AddCommand(newBenchCheckCommand(c), newBenchCompareCommand(c))
	return cmd
}

// scenarioHelp lists the scenarios.
func scenarioHelp() string {
	var text strings.Builder
	fmt.Fprintln(&text, "Scenarios:")
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, s := range bench.Scenarios() {
		fmt.Fprintf(columns, "  %s\t%s\n", s.Name, s.Doc)
	}
	_ = columns.Flush() // to memory
	return text.String()
}

func (b *benchConfig) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&b.Scenario, "scenario", "check", "what to ask: one of those above")
	flags.Float64Var(&b.Rate, "rate", 0, "requests a second; what the scenario is usually asked if left out")
	flags.StringVar(&b.arrivals, "arrivals", string(bench.Even), "how requests follow each other: even or poisson")
	flags.BoolVar(&b.Closed, "closed", false, "ask again when an answer is there, in place of a schedule")
	flags.IntVarP(&b.Callers, "callers", "c", 0, "how many ask at a time with --closed, 64 if left out; else how many requests may be on their way, 256")
	flags.IntVar(&b.Conns, "connections", 1, "how many connections they share")
	flags.DurationVar(&b.Duration, "duration", 10*time.Second, "how long to measure")
	flags.DurationVar(&b.Warmup, "warmup", 0, "how long to ask before; a fifth of --duration if left out, at most 5s")
	flags.IntVar(&b.Repeats, "repeats", 1, "how often to measure; the median counts")
	flags.IntVar(&b.Subjects, "subjects", 100_000, "how many subjects there are")
	flags.Float64Var(&b.Skew, "zipf", 0, "ask about some more than others, by Zipf's law with this exponent below 1; evenly if left out")
	flags.Var(&b.allowed, "allowed", "the share of subjects whose answer is ALLOW, as 50%")
	flags.Uint64Var(&b.Seed, "seed", 1, "what subjects and questions are drawn from; the same gives the same")
	flags.StringSliceVar(&b.Ops, "ops", nil, "the --ops-listen addresses `ADDR,...` of the servers at --addr: their processor time is read there, and profiles")
	flags.StringSliceVar(&b.Reach, "reach", nil, "the addresses `ADDR,...` that withdrawals have to reach, of scenario withdraw; those of --addr if left out")
	flags.StringVar(&b.Profiles, "pprof", "", "fetch profiles of the servers, of the time that is measured, into `DIR`")
	flags.BoolVar(&b.findMax, "find-max", false, "find the highest rate at which --slo is met")
	flags.StringVar(&b.slo, "slo", "", "what has to hold for --find-max, as 'p99<1ms'")
	flags.StringVar(&b.require, "require", "", "fail with 99 unless this holds, as 'p99<1ms,errors=0'")
	flags.StringVar(&b.html, "html", "", "write a report with pictures to `FILE` as well")
	flags.BoolVar(&b.noProgress, "no-progress", false, "say nothing while it runs")
	flags.VarP(&b.format, "output", "o", "how to print: "+strings.Join(bench.Formats(), ", "))
	b.own.add(cmd)
}

// benchFormat is how a report is printed.
type benchFormat string

// String is the value of the flag.
func (f *benchFormat) String() string { return string(*f) }

// Set takes one of the formats.
func (f *benchFormat) Set(value string) error {
	for _, known := range bench.Formats() {
		if value == known {
			*f = benchFormat(value)
			return nil
		}
	}
	return fmt.Errorf("choose one of %s", strings.Join(bench.Formats(), ", "))
}

// Type names the value in the help.
func (*benchFormat) Type() string { return "format" }

// percentage is a flag for a share.
type percentage float64

// String writes it as Set takes it.
func (p *percentage) String() string { return strconv.FormatFloat(100*float64(*p), 'g', -1, 64) + "%" }

// Set takes a number with a percent sign.
func (p *percentage) Set(text string) error {
	digits, found := strings.CutSuffix(text, "%")
	value, err := strconv.ParseFloat(digits, 64)
	if !found || err != nil || !(value >= 0 && value <= 100) {
		return fmt.Errorf("%q is no share: write 0%% to 100%%", text)
	}
	*p = percentage(value / 100)
	return nil
}

// Type names the value in the help.
func (*percentage) Type() string { return "percent" }

func (c *cli) bench(cmd *cobra.Command, b *benchConfig) error {
	required, slo, err := b.thresholds()
	if err != nil {
		return err
	}
	b.complete(c, cmd)
	if err := b.Validate(); err != nil {
		return usageErrorf("%w", err)
	}
	ctx := cmd.Context()
	stop, err := c.aim(ctx, cmd, b)
	if err != nil {
		return err
	}
	defer stop()
	r, err := c.runBench(ctx, b, func() (*bench.Report, error) {
		if b.findMax {
			return bench.FindMax(ctx, b.Options, slo)
		}
		return bench.Run(ctx, b.Options)
	})
	if err != nil {
		return err
	}
	r.Judge(append(slo, required...))
	return c.reportBench(b, r)
}

// runBench shows how it goes, and puts what went wrong in the command's words.
func (c *cli) runBench(ctx context.Context, b *benchConfig, run func() (*bench.Report, error)) (*bench.Report, error) {
	screen := c.newBenchScreen(b)
	r, err := run()
	screen.clear()
	switch {
	case errors.Is(err, bench.ErrOptions):
		return nil, usageErrorf("%w", err)
	case err != nil && ctx.Err() != nil:
		return nil, &exitError{exitInterrupted, errors.New("interrupted before anything was measured")}
	}
	return r, err
}

// reportBench prints the report, and says by the exit code what it comes to.
func (c *cli) reportBench(b *benchConfig, r *bench.Report) error {
	if err := bench.Write(c.stdout, string(b.format), r); err != nil {
		return err
	}
	if b.html != "" {
		if err := writeHTML(b.html, r); err != nil {
			return err
		}
	}
	switch {
	case r.Interrupted:
		return &exitError{exitInterrupted, errors.New("interrupted: the report is of what was measured until then")}
	case r.Wrong() > 0:
		return fmt.Errorf("%d answers are wrong", r.Wrong())
	case !r.Met():
		return &exitError{exitThreshold, errors.New("not all that is required is met")}
	}
	return nil
}

func writeHTML(path string, r *bench.Report) error {
	file, err := createOut(path)
	if err != nil {
		return err
	}
	defer file.discard()
	if err := bench.WriteHTML(file, r); err != nil {
		return err
	}
	return file.keep()
}

// thresholds reads what has to hold.
func (b *benchConfig) thresholds() (required, slo []bench.Threshold, err error) {
	if required, err = bench.ParseThresholds(b.require); err != nil {
		return nil, nil, usageErrorf("--require: %w", err)
	}
	if slo, err = bench.ParseThresholds(b.slo); err != nil {
		return nil, nil, usageErrorf("--slo: %w", err)
	}
	switch {
	case b.findMax && len(slo) == 0:
		return nil, nil, usageErrorf("--find-max finds the highest rate at which --slo is met: say what has to hold, as --slo 'p99<1ms'")
	case !b.findMax && len(slo) > 0:
		return nil, nil, usageErrorf("--slo is what --find-max looks for: say --find-max as well, or --require in its place")
	case b.findMax && b.Closed:
		return nil, nil, usageErrorf("--find-max looks for a rate, and --closed has none: leave one of them out")
	case b.Closed && b.Rate != 0:
		return nil, nil, usageErrorf("--closed asks as fast as answers come, without a --rate: leave one of them out")
	}
	return required, slo, nil
}

// complete fills in what flags mean otherwise than the package does, for which 0 is what was left out.
func (b *benchConfig) complete(c *cli, cmd *cobra.Command) {
	b.Arrivals, b.Version, b.Commit, b.Timeout = bench.Arrivals(b.arrivals), version, commit, c.timeout
	b.Conn = client.ConnOptions{Plaintext: true, UserAgent: "consentd-bench/" + version} // as of all commands
	if b.Allowed = float64(b.allowed); b.Allowed == 0 {
		b.Allowed = -1
	}
	if cmd.Flags().Changed("warmup") && b.Warmup == 0 {
		b.Warmup = -1
	}
	if cmd.Flags().Changed("tenant") {
		b.Tenant = c.tenant
	}
}

// aim fills in whom to ask: the server at --addr, or replicas that it starts, which the function returned ends.
func (c *cli) aim(ctx context.Context, cmd *cobra.Command, b *benchConfig) (stop func(), err error) {
	if cmd.Flags().Changed("addr") {
		if set := b.own.changed(cmd); set != "" {
			return nil, usageErrorf("--%s is about replicas of its own, and --addr names others: leave one of them out", set)
		}
		b.Target = c.addr
		return func() {}, nil
	}
	if len(b.Ops) > 0 || len(b.Reach) > 0 {
		return nil, usageErrorf("--ops and --reach are about servers that run: name them by --addr")
	}
	own, err := c.startOwn(ctx, b)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, &exitError{exitInterrupted, errors.New("interrupted before anything was measured")}
	case err != nil:
		return nil, err
	}
	own.aim(b)
	return own.stop, nil
}
