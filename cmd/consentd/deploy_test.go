package main

import (
	"bytes"
	"errors"
	"io"
	"os"
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

// settleServe returns what serve would run with.
func settleServe(t *testing.T, args []string) *serveConfig {
	t.Helper()
	c := &cli{process: process{environ: func() []string { return nil }}}
	root, s := newRootCommand(c), &serveConfig{}
	for _, cmd := range root.Commands() {
		if cmd.Name() == "serve" {
			root.RemoveCommand(cmd)
		}
	}
	cmd := &cobra.Command{Use: "serve", Run: func(*cobra.Command, []string) {}}
	s.add(cmd)
	root.AddCommand(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if err := c.applySettings(root, cmd); err != nil {
		t.Fatal(err)
	}
	return s
}

// unitFlags are what the unit starts serve with, on a host named consentd-1.
func unitFlags(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/systemd/consentd.service")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if command, found := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=/usr/local/bin/consentd serve "); found {
			return strings.Fields(strings.ReplaceAll(strings.ReplaceAll(command, "%H", "consentd-1"), "--config /etc/consentd/consentd.yaml", ""))
		}
	}
	t.Fatal("the unit starts nothing")
	return nil
}

// podFlags are what the pod consentd-1 starts serve with.
func podFlags(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/kubernetes/consentd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents := yamlv3.NewDecoder(bytes.NewReader(text))
	for {
		var object struct {
			Kind string
			Spec struct {
				Template struct {
					Spec struct{ Containers []struct{ Args []string } }
				}
			}
		}
		err := documents.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if object.Kind != "StatefulSet" {
			continue
		}
		var args []string
		for _, arg := range object.Spec.Template.Spec.Containers[0].Args[1:] {
			args = append(args, strings.NewReplacer("$(POD_NAME)", "consentd-1", "$(POD_NAMESPACE)", "default").Replace(arg))
		}
		return args
	}
	t.Fatal("there is no StatefulSet")
	return nil
}
