package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// process is what a command knows of the process that it runs in. Tests give it another one.
type process struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        func() []string
}

// onTerminal says whether somebody watches standard error.
func (p process) onTerminal() bool {
	file, ok := p.stderr.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// cli is one call of the command line: the process it runs in, and the flags that every command has.
type cli struct {
	process
	addr    string
	tenant  string
	timeout time.Duration
	format  format
	config  string

	begun bool // the arguments are fine, and the command itself runs
}

// runE is what a command does.
type runE func(cmd *cobra.Command, args []string) error

// does marks where the arguments have been found right: whatever fails before is wrong usage.
func (c *cli) does(f runE) runE {
	return func(cmd *cobra.Command, args []string) error {
		c.begun = true
		return f(cmd, args)
	}
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, p process) int {
	c := &cli{process: p}
	root := newRootCommand(c)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	return c.report(cmd, err)
}
