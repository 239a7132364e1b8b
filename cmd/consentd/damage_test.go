package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// damages are what may become of a file. Each reports whether it has changed anything.
var damages = []struct {
	name string
	do   func(path string, contents []byte) (bool, error)
}{
	{"emptied", func(path string, contents []byte) (bool, error) { return len(contents) > 0, os.Truncate(path, 0) }},
	{"cut", func(path string, contents []byte) (bool, error) {
		return len(contents) > 1, os.Truncate(path, int64(len(contents)/2))
	}},
	{"flipped", func(path string, contents []byte) (bool, error) {
		if len(contents) == 0 {
			return false, nil
		}
		contents[len(contents)/3] ^= 0x10
		return true, os.WriteFile(path, contents, 0o600)
	}},
	{"deleted", func(path string, _ []byte) (bool, error) { return true, os.Remove(path) }},
	{"a directory", func(path string, _ []byte) (bool, error) {
		if err := os.Remove(path); err != nil {
			return false, err
		}
		return true, os.Mkdir(path, 0o700)
	}},
}

// TestDamagedFiles damages each file of a data directory in some of these ways. The replica starts with all that
// was acknowledged, or it says which file is damaged and what to do.
func TestDamagedFiles(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "data")
	leaveData(t, whole)
	share, refused := 2, 0
	if raceDetector {
		share = 6
	}
	for i, name := range filesIn(t, whole) {
		for j, damage := range damages {
			if (i+j)%share != 0 {
				continue
			}
			data := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(data, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(data, name)
			contents, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if changed, err := damage.do(path, contents); err != nil {
				t.Fatal(err)
			} else if changed && !startsOrRefuses(t, name+" "+damage.name, data, path) {
				refused++
			}
		}
	}
	if refused < 30/share {
		t.Errorf("only %d of all starts were refused", refused)
	}
}

// leaveData runs a replica that writes before and after a snapshot, starts again, writes, and ends.
func leaveData(t *testing.T, data string) {
	t.Helper()
	p := spawn(t, data)
	grantSubject(t, p.addr, "before")
	must(t, p.addr, "cluster", "snapshot")
	grantSubject(t, p.addr, "after")
	endInOrder(t, p)
	p = spawn(t, data)
	grantSubject(t, p.addr, "last")
	endInOrder(t, p)
}

func grantSubject(t *testing.T, addr, subject string) {
	t.Helper()
	must(t, addr, "record", "grant", subject, "newsletter/email", "--notice-version", "3", "--method", "web_form", "--source", "checkout",
		"--proof", "forms/1")
}

func endInOrder(t *testing.T, p *replicaProcess) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitDone {
		t.Fatalf("exit code %d:\n%s", code, p.log.text.String())
	}
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	if err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

func startsOrRefuses(t *testing.T, what, data, path string) (started bool) {
	t.Helper()
	p := launch(t, "unix://"+filepath.Join(shortDir(t), "s.sock"), data)
	select {
	case <-p.log.ready:
		for _, subject := range []string{"before", "after", "last"} {
			if got := consentd(t, "check", subject, "newsletter/email", "--addr", p.addr); !strings.Contains(got.stdout, "UNCONFIRMED") {
				t.Errorf("%s: what is recorded of %s is lost: %+v", what, subject, got)
			}
		}
		p.kill(t)
		return true
	case <-p.log.done:
	}
	code, text := p.wait(t), p.log.text.String()
	last := text[strings.LastIndex(text, "consentd: ")+1:]
	for fault, is := range map[string]bool{
		fmt.Sprint("ends with exit code ", code): code != exitFailed,
		"doesn't say where":                      !strings.Contains(last, filepath.Dir(path)),
		"doesn't say what to do":                 !containsOne(last, "cluster restore", "copy it from another replica"),
		"says what is for developers":            containsOne(text, "goroutine", "detail carrier", ".go:"),
	} {
		if is {
			t.Errorf("%s: %s:\n%s", what, fault, text)
		}
	}
	return false
}

func containsOne(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}
