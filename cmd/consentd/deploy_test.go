package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	yamlv3 "go.yaml.in/yaml/v3"
)

// TestDeployedSettings reads the settings of the examples in deploy as serve does.
func TestDeployedSettings(t *testing.T) {
	config := []string{"--config", "../../deploy/systemd/consentd.yaml"}
	for name, args := range map[string][]string{
		"systemd":    append(unitFlags(t), config...),
		"kubernetes": podFlags(t),
	} {
		t.Run(name, func(t *testing.T) {
			s := settleServe(t, args)
			if err := s.validate(); err != nil {
				t.Error(err)
			}
			if p := s.peers; p.nodeID != "consentd-1" || p.expect != 3 || len(p.join) != 3 || p.alone() || p.tls.CA == "" || p.plaintext {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestDeployedSidecars does the same for sidecars.
func TestDeployedSidecars(t *testing.T) {
	for name, of := range map[string]struct {
		socket string
		args   []string
	}{
		"systemd": {"unix:///run/consentd-sidecar/consentd.sock",
			append(unitArgs(t, "consentd-sidecar.service", "sidecar"), "--config", "../../deploy/systemd/sidecar.yaml")},
		"kubernetes": {"unix:///run/consentd/consentd.sock",
			manifestArgs(t, "sidecar.yaml", "Deployment", func(p pod) []string { return p.InitContainers[0].Args })},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sidecarConfig{}
			settleInto(t, "sidecar", s.add, of.args)
			if err := s.validate(); err != nil {
				t.Error(err)
			}
			conn, err := s.connect()
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if s.cacheSize != defaultCache || !slices.Equal(s.front.listen, []string{of.socket}) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// settleServe returns what serve would run with.
func settleServe(t *testing.T, args []string) *serveConfig {
	t.Helper()
	s := &serveConfig{}
	settleInto(t, "serve", s.add, args)
	return s
}

// settleInto gives a command's flags what it would run with.
func settleInto(t *testing.T, name string, add func(*cobra.Command), args []string) {
	t.Helper()
	c := &cli{process: process{environ: func() []string { return nil }}}
	root := newRootCommand(c)
	for _, cmd := range root.Commands() {
		if cmd.Name() == name {
			root.RemoveCommand(cmd)
		}
	}
	cmd := &cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}}
	add(cmd)
	root.AddCommand(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if err := c.applySettings(root, cmd); err != nil {
		t.Fatal(err)
	}
}

// unitFlags are what the unit starts serve with, on a host named consentd-1.
func unitFlags(t *testing.T) []string {
	t.Helper()
	args := unitArgs(t, "consentd.service", "serve")
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "%H", "consentd-1")
	}
	return args
}

// unitArgs are what a unit starts a command with, without --config.
func unitArgs(t *testing.T, unit, command string) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/systemd/" + unit)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=/usr/local/bin/consentd "+command+" --config "); found {
			return strings.Fields(rest)[1:]
		}
	}
	t.Fatal("the unit starts nothing")
	return nil
}

// podFlags are what the pod consentd-1 starts serve with.
func podFlags(t *testing.T) []string {
	t.Helper()
	args := manifestArgs(t, "consentd.yaml", "StatefulSet", func(p pod) []string { return p.Containers[0].Args })
	for i, arg := range args {
		args[i] = strings.NewReplacer("$(POD_NAME)", "consentd-1", "$(POD_NAMESPACE)", "default").Replace(arg)
	}
	return args
}

// pod is what tests look at in the template of one.
type pod struct {
	InitContainers []struct{ Args []string } `yaml:"initContainers"`
	Containers     []struct{ Args []string }
}

// manifestArgs are what a container of a manifest is started with, without the command.
func manifestArgs(t *testing.T, manifest, kind string, of func(pod) []string) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/kubernetes/" + manifest)
	if err != nil {
		t.Fatal(err)
	}
	documents := yamlv3.NewDecoder(bytes.NewReader(text))
	for {
		var object struct {
			Kind string
			Spec struct{ Template struct{ Spec pod } }
		}
		err := documents.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if object.Kind == kind {
			return of(object.Spec.Template.Spec)[1:]
		}
	}
	t.Fatalf("there is no %s", kind)
	return nil
}
