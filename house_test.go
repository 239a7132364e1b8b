package consentd_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// explained are the top-level folders, with the places where each may say what it is for.
var explained = map[string][]string{
	"proto":    {"proto/DESIGN.md", "proto/consent/v1/DESIGN.md"},
	"consent":  {"consent/DESIGN.md"},
	"store":    {"store/DESIGN.md"},
	"cluster":  {"cluster/DESIGN.md"},
	"cache":    {"cache/DESIGN.md"},
	"client":   {"client/DESIGN.md"},
	"server":   {"server/DESIGN.md"},
	"bench":    {"bench/DESIGN.md"},
	"cmd":      {"cmd/DESIGN.md", "cmd/consentd/DESIGN.md"},
	"deploy":   {"deploy/README.md"},
	"docs":     {"docs/README.md"},
	"examples": {"examples/README.md"},
	"tools":    {"tools/README.md"},
}

// built are the folders that make leaves behind.
var built = []string{"bin"}

// vagueNames say nothing of what a package is.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "managers", "misc", "shared", "base"}

func TestEveryRoomIsKnownAndExplained(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() || strings.HasPrefix(name, ".") || slices.Contains(built, name) || !holdsFiles(t, name) {
			continue
		}
		places, known := explained[name]
		if !known {
			t.Errorf("%s is no known room: what it holds belongs to one, or the design needs a word on it", name)
			continue
		}
		if !slices.ContainsFunc(places, isFile) {
			t.Errorf("room %s lacks %s", name, strings.Join(places, " or "))
		}
	}
}

func TestPackageNamesSaySomething(t *testing.T) {
	for name, file := range goFiles(t) {
		if slices.Contains(vagueNames, strings.TrimSuffix(file.Name.Name, "_test")) {
			t.Errorf("%s: package %s: name it after what it holds", name, file.Name.Name)
		}
		for _, folder := range strings.Split(path.Dir(name), "/") {
			if slices.Contains(vagueNames, folder) {
				t.Errorf("%s: folder %s: name it after what it holds", name, folder)
			}
		}
	}
}

// A tool in the main module would bring its dependencies into the build of everyone who imports the client.
func TestToolsStayOutOfTheModule(t *testing.T) {
	main := readModule(t, "go.mod")
	if len(main.tools) > 0 {
		t.Errorf("go.mod has tools %v: they belong to tools/go.mod", main.tools)
	}
	tools := readModule(t, "tools/go.mod")
	if len(tools.tools) == 0 {
		t.Error("tools/go.mod has no tools")
	}
	for _, tool := range tools.tools {
		home := tools.moduleOf(tool)
		if home == "" {
			t.Errorf("tools/go.mod doesn't require the module of %s", tool)
		}
		if version, found := main.requires[home]; found {
			t.Errorf("go.mod requires %s %s, the home of the tool %s", home, version, tool)
		}
	}
}

// A rival is for comparing only.
func TestRivalsStayOutOfTheModule(t *testing.T) {
	main, rivals := readModule(t, "go.mod"), readModule(t, "bench/rivals/go.mod")
	for _, rival := range []string{
		"github.com/maypok86/otter/v2", "github.com/Yiling-J/theine-go", "github.com/redis/go-redis/v9", "go.etcd.io/etcd/client/v3",
		"github.com/open-policy-agent/opa",
	} {
		if rivals.requires[rival] == "" {
			t.Errorf("bench/rivals/go.mod doesn't require %s", rival)
		}
		if version, found := main.requires[rival]; found {
			t.Errorf("go.mod requires %s %s, which belongs to bench/rivals/go.mod", rival, version)
		}
	}
}

// Generated code and the library it calls are made for each other.
func TestGeneratorMatchesTheLibrary(t *testing.T) {
	const library = "google.golang.org/protobuf"
	runs, generates := readModule(t, "go.mod").requires[library], readModule(t, "tools/protoc/go.mod").requires[library]
	if runs != "" && runs != generates {
		t.Errorf("go.mod requires %s %s, tools/protoc/go.mod %s: move them together", library, runs, generates)
	}
}

// link is a link of a Markdown page, with what it points to.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// A link to a page or folder of ours leads somewhere in a fresh clone.
func TestLinksLeadSomewhere(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(name string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && isForeign(name):
			return filepath.SkipDir
		case filepath.Ext(name) != ".md":
			return nil
		}
		page, err := os.ReadFile(name)
		for _, match := range link.FindAllSubmatch(page, -1) {
			target, _, _ := strings.Cut(string(match[1]), "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			seen++
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), target)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", name, target)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("found no link")
	}
}

// modFile is what these tests read of a go.mod file.
type modFile struct {
	requires map[string]string // module → version
	tools    []string          // package paths
}

// moduleOf returns the required module that holds a package, or nothing.
func (m modFile) moduleOf(pkg string) string {
	longest := ""
	for name := range m.requires {
		if isWithin(pkg, name) && len(name) > len(longest) {
			longest = name
		}
	}
	return longest
}

func readModule(t *testing.T, name string) modFile {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m := modFile{requires: map[string]string{}}
	block := ""
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "//")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case len(words) == 2 && words[1] == "(":
			block = words[0]
			continue
		case words[0] == ")":
			block = ""
			continue
		case block != "":
			words = append([]string{block}, words...)
		}
		switch {
		case words[0] == "require" && len(words) >= 3:
			m.requires[words[1]] = words[2]
		case words[0] == "tool" && len(words) >= 2:
			m.tools = append(m.tools, words[1])
		}
	}
	return m
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// holdsFiles says whether a folder holds any file at all: git knows no empty folders.
func holdsFiles(t *testing.T, dir string) bool {
	t.Helper()
	held := false
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			held = true
			return filepath.SkipAll
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return held
}
