package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNodeClient runs the example client in another language, which knows nothing but the protos, against the real binary.
func TestNodeClient(t *testing.T) {
	p := spawn(t, filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0")
	runNodeClient(t, p.addr, p.addrs[1])
}

func runNodeClient(t *testing.T, addrs ...string) {
	t.Helper()
	const client = "../../examples/clients/node"
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node isn't installed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(client, "node_modules")); err != nil {
		missing("the client's packages aren't installed: run npm ci in %s", client)
	}
	for _, addr := range addrs {
		cmd := exec.CommandContext(t.Context(), node, "check.js", addr)
		cmd.Dir = client
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("node check.js %s: %v\n%s", addr, err, out)
		}
	}
}
