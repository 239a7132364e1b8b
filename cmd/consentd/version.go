package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// The linker sets both (see the Makefile).
var (
	version = "devel"
	commit  = "unknown"
)

type versionOutput struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func newVersionCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: c.does(func(*cobra.Command, []string) error {
			out := currentVersion()
			return c.print(out, func(w io.Writer) { fmt.Fprint(w, out.line()) })
		}),
	}
}

func (v versionOutput) line() string {
	return fmt.Sprintf("consentd %s (commit %s, %s)\n", v.Version, v.Commit, v.Go)
}

// currentVersion falls back on what go install knows of the module.
func currentVersion() versionOutput {
	out := versionOutput{Version: version, Commit: commit, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok && out.Version == "devel" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		out.Version = info.Main.Version
	}
	return out
}
