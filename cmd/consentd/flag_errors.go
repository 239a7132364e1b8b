package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// plainFlagError says of a flag's value what it has to be. The library says what failed inside it.
func plainFlagError(err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	return usageErrorf("--%s: %w", bad.GetFlag().Name, plainValueError(bad.GetFlag(), bad.GetValue(), bad.Unwrap()))
}

// plainValueError returns the error itself for the flags that are this program's own: theirs are in plain words.
func plainValueError(flag *pflag.Flag, value string, err error) error {
	switch kind := flag.Value.Type(); {
	case kind == "duration":
		return fmt.Errorf("%q is no duration: write it with its unit, as 500ms, 10s or 1m", value)
	case kind == "uint32" || kind == "int64" || kind == "int":
		return fmt.Errorf("%q is no number that it could be: write its digits alone, as 3", value)
	case kind == "bool":
		return fmt.Errorf("%q is neither true nor false", value)
	case flag.Name == "log-level":
		return fmt.Errorf("%q is none: choose debug, info, warn or error", value)
	}
	return err
}

// missingFlag names a flag that the command can't do without, and what it is for.
func missingFlag(cmd *cobra.Command) (err error) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if err == nil && !flag.Changed && len(flag.Annotations[cobra.BashCompOneRequiredFlag]) > 0 {
			_, usage := pflag.UnquoteUsage(flag)
			err = usageErrorf("--%s is missing: %s", flag.Name, usage)
		}
	})
	return err
}
