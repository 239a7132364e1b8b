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
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

type options struct {
	addr, tenant, subject, permission string
	checks, callers                   int
}

// isAllowed is all that most callers need: false on every error, and for every answer that isn't exactly ALLOW.
func isAllowed(reply *consentv1.CheckResponse, err error) bool {
	return err == nil && len(reply.GetResults()) == 1 &&
		reply.GetResults()[0].GetAnswer().GetDecision() == consentv1.Decision_DECISION_ALLOW
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("latency", flag.ContinueOnError)
	var o options
	flags.StringVar(&o.addr, "addr", "127.0.0.1:7433", "where consentd listens: host:port or unix:///path")
	flags.StringVar(&o.tenant, "tenant", "default", "the tenant")
	flags.StringVar(&o.subject, "subject", "anna@example.com", "whom to ask about")
	flags.StringVar(&o.permission, "permission", "newsletter/email", "what to ask")
	flags.IntVar(&o.checks, "checks", 10_000, "how many checks")
	flags.IntVar(&o.callers, "callers", 1, "how many callers ask at a time, each waiting for its answer")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if o.checks < 1 || o.callers < 1 {
		return fmt.Errorf("%d checks by %d callers: both must be at least 1", o.checks, o.callers)
	}

	conn, err := grpc.NewClient(o.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the process ends
	return measure(consentv1.NewPermissionServiceClient(conn), o, out)
}

// measure runs the checks, after a tenth as many to warm up, and prints percentiles of how long each took.
func measure(client consentv1.PermissionServiceClient, o options, out io.Writer) error {
	if _, err := fmt.Fprintf(out, "%s for %s allowed: %t\n", o.permission, o.subject, isAllowed(o.check(context.Background(), client))); err != nil {
		return err
	}
	if _, err := ask(client, o, (o.checks+9)/10); err != nil {
		return err
	}
	began := time.Now()
	took, err := ask(client, o, o.checks)
	if err != nil {
		return err
	}
	elapsed := time.Since(began)
	at := func(percentile float64) time.Duration { return time.Duration(took.ValueAtPercentile(percentile)) }
	_, err = fmt.Fprintf(out, "%d checks by %d callers in %v: %.0f/s, p50 %v, p99 %v, p99.9 %v, slowest %v\n",
		took.TotalCount(), o.callers, elapsed.Round(time.Millisecond), float64(took.TotalCount())/elapsed.Seconds(),
		at(50).Round(time.Microsecond), at(99).Round(time.Microsecond), at(99.9).Round(time.Microsecond),
		time.Duration(took.Max()).Round(time.Microsecond))
	return err
}

// ask has the callers share the checks, and returns how many nanoseconds each took, or the first error.
func ask(client consentv1.PermissionServiceClient, o options, checks int) (*hdrhistogram.Histogram, error) {
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
				if err := askOnce(ctx, client, o, histograms[i]); err != nil {
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

func (o options) check(ctx context.Context, client consentv1.PermissionServiceClient) (*consentv1.CheckResponse, error) {
	return client.Check(ctx, &consentv1.CheckRequest{Tenant: o.tenant, Subject: o.subject, Permissions: []string{o.permission}})
}

func askOnce(ctx context.Context, client consentv1.PermissionServiceClient, o options, took *hdrhistogram.Histogram) error {
	began := time.Now()
	reply, err := o.check(ctx, client)
	if err != nil {
		return err
	}
	if status := reply.GetResults()[0].GetStatus(); status != nil {
		return fmt.Errorf("%s can't be decided: %s", o.permission, status.GetMessage())
	}
	return took.RecordValue(int64(time.Since(began)))
}
