package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// side is a tree with its test binaries, and what they said so far.
type side struct {
	tree, binaries string
	outcomes       []outcome
}

// build builds the test binaries of a tree into a folder.
func build(ctx context.Context, tree, binaries string) (*side, error) {
	args := []string{"test", "-buildvcs=false", "-c", "-o", binaries + "/"}
	for _, s := range suites {
		if arg := "./" + s.room; !slices.Contains(args, arg) && exists(filepath.Join(tree, s.room)) {
			args = append(args, arg)
		}
	}
	_, err := output(ctx, tree, nil, tool(), args...)
	return &side{tree: tree, binaries: binaries}, err
}

// buildEarlier builds those of the commit to compare with. It says so, and returns nil, if there is none, or if it can't be built.
func buildEarlier(ctx context.Context, w io.Writer, against, scratch string) *side {
	commit, err := earlier(ctx, against)
	var s *side
	if err == nil {
		tree := filepath.Join(scratch, "tree")
		if err = unpack(ctx, commit, tree); err == nil {
			s, err = build(ctx, tree, scratch+"/earlier")
		}
	}
	if err != nil {
		fmt.Fprintf(w, "bench-guard: no earlier commit to compare with (%v): only this tree's ratios to its own baselines are judged\n", err)
		return nil
	}
	fmt.Fprintf(w, "bench-guard: beside commit %.12s\n", commit)
	return s
}

// earlier returns the commit to compare with: the one given, or where HEAD left main, or else, on main itself, the one before, which is HEAD
// while there are changes to it.
func earlier(ctx context.Context, against string) (string, error) {
	if against != "" {
		return git(ctx, "rev-parse", "--verify", against+"^{commit}")
	}
	head, err := git(ctx, "rev-parse", "--verify", "HEAD")
	if err != nil {
		return "", err
	}
	for _, main := range []string{"origin/main", "main"} {
		if base, err := git(ctx, "merge-base", "HEAD", main); err == nil && base != head {
			return base, nil
		}
	}
	changed, err := git(ctx, "status", "--porcelain", "--untracked-files=no")
	if err != nil || changed != "" {
		return head, err
	}
	return git(ctx, "rev-parse", "--verify", "HEAD~1")
}

// unpack writes the files of a commit: unlike a worktree, they leave nothing in the repository.
func unpack(ctx context.Context, commit, tree string) error {
	if err := os.Mkdir(tree, 0o700); err != nil {
		return err
	}
	archive, err := output(ctx, ".", nil, "git", "archive", commit)
	if err == nil {
		_, err = output(ctx, tree, archive, "tar", "-x")
	}
	return err
}

// run runs every suite once. A suite that the tree doesn't have says nothing. The collector is off, because when it runs depends on all else:
// what it would cost shows in the bytes.
func (s *side) run(ctx context.Context) (outcome, error) {
	o := outcome{}
	for _, suite := range suites {
		binary := filepath.Join(s.binaries, path.Base(suite.room)+".test")
		if !exists(binary) {
			continue
		}
		printed, err := output(ctx, filepath.Join(s.tree, suite.room), nil, "env", "GOGC=off", "GOMEMLIMIT=2GiB", absolute(binary), "-test.run=^$",
			"-test.short", "-test.benchmem", "-test.cpu=2", "-test.timeout=5m", "-test.bench="+suite.pattern, "-test.benchtime="+suite.times,
			"-test.count="+suite.count)
		if err == nil {
			err = o.add(suite.room, string(printed))
		}
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

func git(ctx context.Context, args ...string) (string, error) {
	out, err := output(ctx, ".", nil, "git", args...)
	return strings.TrimSpace(string(out)), err
}

// output runs a command in a folder, and returns what it printed.
func output(ctx context.Context, dir string, input []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, bytes.TrimSpace(append(exit.Stderr, out...)))
		}
		return nil, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return out, nil
}

func tool() string {
	if named := os.Getenv("GO"); named != "" {
		return named
	}
	return "go"
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}
