package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
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

// TestMetricsAreDocumented looks for every figure of the node in docs/cluster.md, and for every one there in the node.
func TestMetricsAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range nodeMetrics() {
		names = append(names, "consentd_"+m.name)
	}
	for _, h := range nodeHistograms() {
		names = append(names, "consentd_"+h.name)
	}
	for _, name := range names {
		if !strings.Contains(string(docs), "`"+name+"`") {
			t.Errorf("%s isn't mentioned", name)
		}
	}
	names = append(names, serverMetrics(t)...)
	for _, name := range regexp.MustCompile(`consentd_[a-z_]+`).FindAllString(string(docs), -1) {
		if !slices.Contains(names, name) && !strings.HasPrefix(name, "consentd_peers_grpc_server_") {
			t.Errorf("%s is mentioned, and there is none", name)
		}
	}
}

// serverMetrics returns the names of all that a replica's server registers.
func serverMetrics(t *testing.T) (names []string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	r := &replica{config: new(serveConfig), front: front{metrics: registry}}
	if _, err := r.newServices(); err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for desc := range descs {
		names = append(names, name.FindStringSubmatch(desc.String())[1])
	}
	return names
}

// TestNearMetricsAreDocumented does the same for those of a near cache and docs/sidecar.md.
func TestNearMetricsAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/sidecar.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range nearMetrics() {
		known["consentd_"+m.name] = true
		if !strings.Contains(string(docs), "`consentd_"+m.name+"`") {
			t.Errorf("consentd_%s isn't mentioned", m.name)
		}
	}
	for _, name := range regexp.MustCompile(`consentd_[a-z_]+`).FindAllString(string(docs), -1) {
		if !known[name] {
			t.Errorf("%s is mentioned, and there is none", name)
		}
	}
}

// ofOthers are flags of other programs that are mentioned.
var ofOthers = []string{"from-file", "now", "system", "local", "help", "subject", "unary", "near-cache"}

// TestMentionedFlagsExist looks for every flag that documents and examples mention.
func TestMentionedFlagsExist(t *testing.T) {
	known := slices.Clone(ofOthers)
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		see := func(flag *pflag.Flag) { known = append(known, flag.Name) }
		cmd.Flags().VisitAll(see)
		cmd.PersistentFlags().VisitAll(see)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRootCommand(&cli{}))
	mention := regexp.MustCompile("(?:^|[\\s`'(|])--([a-z][a-z-]+)")
	mentions := 0
	for _, pattern := range []string{"README.md", "CHANGELOG.md", "docs/*.md", "deploy/*.md", "deploy/*/*", "examples/*.md", "examples/*/*.md"} {
		files, err := filepath.Glob("../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range mention.FindAllStringSubmatch(string(text), -1) {
				mentions++
				if !slices.Contains(known, found[1]) {
					t.Errorf("%s mentions --%s, and no command has it", file, found[1])
				}
			}
		}
	}
	if mentions < 100 {
		t.Errorf("%d mentions were looked at, which can't be all", mentions)
	}
}
