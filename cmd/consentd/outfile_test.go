package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOutFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.csv")
	out, err := createOut(path)
	if err != nil {
		t.Fatal(err)
	}
	out.WriteString("half")
	out.discard()
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("a file that wasn't kept left %v", entries)
	}
	if out, err = createOut(path); err != nil {
		t.Fatal(err)
	}
	out.WriteString("whole")
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there before it is whole")
	}
	if err := out.keep(); err != nil {
		t.Fatal(err)
	}
	out.discard()
	if text, err := os.ReadFile(path); err != nil || string(text) != "whole" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if _, err := createOut(path, filepath.Join(dir, ".", "out.csv")); err == nil {
		t.Error("a file that is read was overwritten")
	}
	if _, err := createOut(dir); err == nil {
		t.Error("a directory was overwritten")
	}
	if out, err = createOut(os.DevNull); err != nil {
		t.Fatal(err)
	}
	if err := out.keep(); err != nil {
		t.Error(err)
	}
}
