package main

import (
	"path/filepath"
	"testing"
)

func TestDialTarget(t *testing.T) {
	relative, err := filepath.Abs("run.sock")
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"127.0.0.1:7433":     "dns:///127.0.0.1:7433",
		"[::1]:7433":         "dns:///[::1]:7433",
		"unix:///run/a.sock": "unix:///run/a.sock",
		"unix:/run/a.sock":   "unix:///run/a.sock",
		"unix:run.sock":      "unix://" + relative,
	} {
		if got, err := dialTarget(addr); err != nil || got != want {
			t.Errorf("%s is dialled as %s, %v; want %s", addr, got, err, want)
		}
	}
}
