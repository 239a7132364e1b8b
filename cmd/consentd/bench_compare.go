package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/bench"
)

func newBenchCompareCommand(c *cli) *cobra.Command {
	var limits string
	cmd := &cobra.Command{
		Use:   "compare OLD NEW",
		Short: "Find what got worse between two reports",
		Long: `Find what got worse between two reports that 'consentd bench -o json' has written. Reports of other
scenarios, rates or data sets aren't compared. With --max-regress, the exit code is 99 if a figure got
worse by more than that; with three repeats or more, by more than the old runs differ among themselves
as well.`,
		Example: `  consentd bench compare old.json new.json
  consentd bench compare old.json new.json --max-regress p99=5%,rate=3%`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageErrorf("name two reports: the old one and the new one")
			}
			return nil
		},
		RunE: c.does(func(_ *cobra.Command, args []string) error { return c.benchCompare(args[0], args[1], limits) }),
	}
	cmd.Flags().StringVar(&limits, "max-regress", "", "how much worse each figure may be, as 'p99=5%,rate=3%'")
	return cmd
}

func (c *cli) benchCompare(oldPath, newPath, limits string) error {
	allowed, err := bench.ParseRegress(limits)
	if err != nil {
		return usageErrorf("--max-regress: %w", err)
	}
	before, err := openReport(oldPath)
	if err != nil {
		return err
	}
	after, err := openReport(newPath)
	if err != nil {
		return err
	}
	comparison, err := bench.Compare(before, after, allowed)
	if err != nil {
		return err
	}
	if err := c.print(comparison, func(w io.Writer) { _ = comparison.WriteTable(w) }); err != nil {
		return err
	}
	if comparison.Regressed() {
		return &exitError{exitThreshold, errors.New("worse than --max-regress allows")}
	}
	return nil
}

// openReport reads a report that was written with -o json.
func openReport(path string) (*bench.Report, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was read
	r, err := bench.ReadReport(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
