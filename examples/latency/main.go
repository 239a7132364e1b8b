// Latency asks a running consentd the same question many times, and prints how long the answers took.
//
// It is also a short Go program that asks: dial, Check, and treat everything but ALLOW as a no.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/consentd/consentd/client"
)

const step = 10 * time.Nanosecond // of what is printed

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

type options struct {
	addr, tenant, subject, permission string
	checks, callers                   int
	unary                             bool
	near                              int64
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("latency", flag.ContinueOnError)
	var o options
	flags.StringVar(&o.addr, "addr", "127.0.0.1:7433", "where consentd listens: host:port or unix:///path, or several with commas between")
	flags.StringVar(&o.tenant, "tenant", "default", "the tenant")
	flags.StringVar(&o.subject, "subject", "anna@example.com", "whom to ask about")
	flags.StringVar(&o.permission, "permission", "newsletter/email", "what to ask")
	flags.IntVar(&o.checks, "checks", 10_000, "how many checks")
	flags.IntVar(&o.callers, "callers", 1, "how many callers ask at a time, each waiting for its answer")
	flags.BoolVar(&o.unary, "unary", false, "ask by a call for each check, instead of by the stream that all callers share")
	flags.Int64Var(&o.near, "near-cache", 0, "answer from this process's own memory, of which so many bytes are used: 16777216 or more")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if o.checks < 1 || o.callers < 1 {
		return fmt.Errorf("%d checks by %d callers: both must be at least 1", o.checks, o.callers)
	}

	c, err := client.Dial(context.Background(), o.addr, o.dialing()...)
	if err != nil {
		return err
	}
	defer c.Close()
	return measure(c, o, out)
}

func (o options) dialing() []client.Option {
	opts := []client.Option{client.WithTenant(o.tenant)}
	if o.unary {
		opts = append(opts, client.WithUnaryCalls())
	}
	if o.near > 0 {
		opts = append(opts, client.WithNearCache(o.near))
	}
	return opts
}

// measure runs the checks, after a tenth as many to warm up, and prints percentiles of how long each took.
func measure(c *client.Client, o options, out io.Writer) error {
	if _, err := fmt.Fprintf(out, "%s for %s allowed: %t\n", o.permission, o.subject,
		c.Allowed(context.Background(), o.subject, o.permission)); err != nil {
		return err
	}
	if _, err := ask(c, o, (o.checks+9)/10); err != nil {
		return err
	}
	began := time.Now()
	took, err := ask(c, o, o.checks)
	if err != nil {
		return err
	}
	elapsed := time.Since(began)
	at := func(percentile float64) time.Duration { return time.Duration(took.ValueAtPercentile(percentile)) }
	_, err = fmt.Fprintf(out, "%d checks by %d callers in %v: %.0f/s, p50 %v, p99 %v, p99.9 %v, slowest %v\n",
		took.TotalCount(), o.callers, elapsed.Round(time.Millisecond), float64(took.TotalCount())/elapsed.Seconds(),
		at(50).Round(step), at(99).Round(step), at(99.9).Round(step),
		time.Duration(took.Max()).Round(step))
	return err
}

// ask has the callers share the checks, and returns how many nanoseconds each took, or the first error.
func ask(c *client.Client, o options, checks int) (*hdrhistogram.Histogram, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	histograms := make([]*hdrhistogram.Histogram, o.callers)
	var callers sync.WaitGroup
	for i := range o.callers {
		histograms[i] = newHistogram()
		share := checks / o.callers
		if i < checks%o.callers {
			share++
		}
		callers.Go(func() {
			for range share {
				if err := askOnce(ctx, c, o, histograms[i]); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	callers.Wait()
	all := newHistogram()
	for _, h := range histograms {
		all.Merge(h)
	}
	return all, context.Cause(ctx)
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute), 3)
}

func askOnce(ctx context.Context, c *client.Client, o options, took *hdrhistogram.Histogram) error {
	began := time.Now()
	if _, err := c.Check(ctx, client.Question{Subject: o.subject, Permission: o.permission}); err != nil {
		return fmt.Errorf("%s can't be decided: %w", o.permission, err)
	}
	return took.RecordValue(int64(time.Since(began)))
}
