// Guard compares the working tree with an earlier commit by benchmarks, and fails if a check allocates more, or takes longer beside the
// baselines of the same run. It never judges nanoseconds: machines differ, and each differs from itself an hour ago.
//
// The test binaries of both are built, and run in turns. Compared are
//
//   - allocations. One more of an operation fails; half of one may come and go where what runs beside it allocates as well.
//   - bytes. A twentieth and 16 bytes more fail.
//   - ratios, as of a lookup to that in a bare Go map, or of Check to a gRPC handler that decodes the same messages and does nothing. One
//     fails that is more than 1.5 times the earlier one, by the median of the turns and by the quickest of them, and still is when all has
//     been measured twice more.
//
// What has a baseline is judged by what it allocates beyond that, so that a new release of gRPC doesn't count as ours. A benchmark that
// the earlier commit doesn't have is new, and judged by its ratio alone; so is everything if there is no earlier commit to compare with.
//
// It exits with 1 if something got worse, and with 2 if it couldn't measure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() { os.Exit(run()) }

// run returns the status to exit with.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	against := flag.String("against", "", "the `commit` to compare with; without one, where this branch left main, or else the commit before")
	turns := flag.Int("turns", 3, "how often each side is measured")
	flag.Parse()
	worse, err := guard(ctx, os.Stdout, *against, max(1, *turns))
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench-guard:", err)
		return 2
	case worse > 0:
		fmt.Fprintf(os.Stderr, "bench-guard: %d of the rows above got worse: look for what allocates, or takes time, that didn't\n", worse)
		return 1
	}
	return 0
}

// guard prints a table, and returns how many of its rows got worse.
func guard(ctx context.Context, w io.Writer, against string, turns int) (worse int, err error) {
	scratch, err := os.MkdirTemp("", "bench-guard")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	here, err := build(ctx, ".", scratch+"/here")
	if err != nil {
		return 0, err
	}
	sides := []*side{here}
	if earlier := buildEarlier(ctx, w, against, scratch); earlier != nil {
		sides = append(sides, earlier)
	}
	var rows []row
	for range 3 {
		if err := measure(ctx, w, sides, turns); err != nil {
			return 0, err
		}
		var before []outcome
		if len(sides) == 2 {
			before = sides[1].outcomes
		}
		if rows, err = judge(here.outcomes, before, comparisons()); err != nil {
			return 0, err
		}
		if !onlySlower(rows) {
			break
		}
	}
	show(w, rows)
	return countWorse(rows), nil
}

// measure runs each side so often, one after the other, and the other way round the next time.
func measure(ctx context.Context, w io.Writer, sides []*side, turns int) error {
	for turn := range turns {
		for i := range sides {
			s := sides[(i+turn)%len(sides)]
			o, err := s.run(ctx)
			if err != nil {
				return err
			}
			s.outcomes = append(s.outcomes, o)
		}
		fmt.Fprintf(w, "bench-guard: turn %d of %d\n", turn+1, turns)
	}
	return nil
}
