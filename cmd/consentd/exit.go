package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// The exit codes, which scripts rely on.
const (
	exitDone   = 0 // done; for check: every answer is ALLOW
	exitFailed = 1 // it failed; for check: an answer is missing
	exitUsage  = 2 // called wrongly; nothing was done
	exitDenied = 3 // check: answered, and some answer is DENY

	exitThreshold   = 99  // bench: something required isn't met, or got worse
	exitInterrupted = 130 // bench: interrupted; what was measured is reported
)

// exitError ends the command with a code. Without an error there is nothing to say: the output says it already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageErrorf is the error of a command that was called wrongly.
func usageErrorf(text string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(text, args...)}
}

// quietly ends the command with a code, and without a further word.
func quietly(code int) error { return &exitError{code: code} }

// report prints an error in plain words, and returns the exit code.
func (c *cli) report(cmd *cobra.Command, err error) int {
	if err == nil {
		return exitDone
	}
	code := exitFailed
	if !c.begun {
		code = exitUsage
	}
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		if exit.err == nil {
			return code
		}
	}
	text, invalid := c.inWords(err)
	if invalid {
		code = exitUsage
	}
	fmt.Fprintf(c.stderr, "consentd: %s\n", text)
	if code == exitUsage {
		fmt.Fprintf(c.stderr, "See '%s --help'.\n", cmd.CommandPath())
	}
	return code
}
