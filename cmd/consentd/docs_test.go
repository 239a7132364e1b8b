package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestEverythingIsDocumented looks for every command, flag and key=value in docs/cli.md.
func TestEverythingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(text)
	commands, flags := 0, map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		commands++
		if !strings.Contains(docs, cmd.CommandPath()) {
			t.Errorf("%s isn't mentioned", cmd.CommandPath())
		}
		see := func(flag *pflag.Flag) { flags[flag.Name] = true }
		cmd.Flags().VisitAll(see)
		cmd.PersistentFlags().VisitAll(see)
		if cmd.Short == "" {
			t.Errorf("%s has no word of help", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRootCommand(&cli{}))
	for name := range flags {
		if !strings.Contains(docs, "`--"+name+"`") && !strings.Contains(docs, "--"+name+"`") {
			t.Errorf("--%s isn't mentioned", name)
		}
	}
	for _, v := range verbs() {
		for _, key := range detailKeys(v) {
			if !strings.Contains(docs, "`"+key+"=") {
				t.Errorf("%s= isn't mentioned", key)
			}
		}
	}
	if commands < 30 || len(flags) < 40 {
		t.Errorf("%d commands and %d flags were looked for, which can't be all", commands, len(flags))
	}
}
