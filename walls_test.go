package consentd_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/consentd/consentd"

// knows says which other rooms a room's code may import. Rooms that aren't here have no Go code; tests are free, because what they
// put together never ships.
var knows = map[string][]string{
	"":         {},
	"proto":    {},
	"consent":  {},
	"store":    {"consent", "proto"},
	"cluster":  {"consent", "proto", "store"},
	"cache":    {"consent", "proto"},
	"client":   {"consent", "proto", "cache"},
	"server":   {"consent", "proto"},
	"bench":    {"consent", "proto", "store", "cluster", "cache", "client", "server"},
	"cmd":      {"consent", "proto", "server", "cluster", "client", "bench"},
	"examples": {"consent", "proto", "client"},
}

// owners says which rooms alone may import a library, so that replacing it stays the business of a room.
var owners = []struct {
	library string
	rooms   []string
}{
	{"github.com/hashicorp/raft", []string{"cluster"}},
	{"github.com/cockroachdb/pebble", []string{"store", "cluster"}},
	{"github.com/dgraph-io/ristretto", []string{"cache"}},
	{"google.golang.org/grpc", []string{"proto", "server", "client", "bench", "cmd", "examples"}},
}

// The law is pure: the same events and the same question give the same decision on every replica. So consent imports no way to the
// world, from outside the standard library only what reads YAML, and uses none of these functions.
var (
	impureImports = []string{
		"context", "crypto/rand", "database", "embed", "expvar", "io/fs", "io/ioutil", "log", "math/rand", "net", "os", "plugin",
		"runtime", "syscall",
	}
	lawLibraries  = []string{"go.yaml.in/yaml", "gopkg.in/yaml.v3", "github.com/goccy/go-yaml"}
	impureSymbols = map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local", "LoadLocation"},
		"fmt":  {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	}
)

func TestWalls(t *testing.T) {
	checked := 0
	for name, file := range goFiles(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		checked++
		for _, breach := range breaches(name, file) {
			t.Errorf("%s %s", name, breach)
		}
	}
	if checked == 0 {
		t.Fatal("found no Go file to check")
	}
}

// TestWallsStand breaks every wall once.
func TestWallsStand(t *testing.T) {
	tests := []struct {
		name, file, source string
		want               string // part of the only breach; empty for none
	}{
		{"everyone knows the law", "server/check.go", `import _ "github.com/consentd/consentd/consent"`, ""},
		{"a room knows its own packages", "store/store.go", `import _ "github.com/consentd/consentd/store/ledger"`, ""},
		{"cmd wires", "cmd/consentd/serve.go", `import _ "github.com/consentd/consentd/cluster"`, ""},
		{"yaml reads policies", "consent/policy.go", `import _ "go.yaml.in/yaml/v3"`, ""},
		{"time has no clock of its own", "consent/decide.go", `import "time"; const day = 24 * time.Hour`, ""},
		{"a name like a library's", "server/a.go", `import _ "github.com/hashicorp/raftish"`, ""},
		{"autopilot is raft's", "server/a.go", `import _ "github.com/hashicorp/raft-autopilot"`, "may not import"},

		{"the law knows nobody", "consent/a.go", `import _ "github.com/consentd/consentd/proto/consent/v1"`, "room proto"},
		{"proto knows nobody", "proto/a.go", `import _ "github.com/consentd/consentd/consent"`, "room consent"},
		{"server beside store", "server/a.go", `import _ "github.com/consentd/consentd/store"`, "room store"},
		{"server beside cluster", "server/a.go", `import _ "github.com/consentd/consentd/cluster"`, "room cluster"},
		{"client beside server", "client/a.go", `import _ "github.com/consentd/consentd/server"`, "room server"},
		{"nothing knows cmd", "bench/a.go", `import _ "github.com/consentd/consentd/cmd/consentd"`, "room cmd"},
		{"nothing knows an unknown room", "bench/a.go", `import _ "github.com/consentd/consentd/attic"`, "room attic"},
		{"an unknown room", "attic/a.go", ``, "no known room"},
		{"server and raft", "server/a.go", `import _ "github.com/hashicorp/raft"`, "may not import"},
		{"store and raft", "store/a.go", `import _ "github.com/hashicorp/raft"`, "may not import"},
		{"cluster and grpc", "cluster/a.go", `import _ "google.golang.org/grpc/codes"`, "may not import"},
		{"cache and grpc", "cache/a.go", `import _ "google.golang.org/grpc"`, "may not import"},
		{"cache and raft", "cache/a.go", `import _ "github.com/hashicorp/raft"`, "may not import"},
		{"server and pebble", "server/a.go", `import _ "github.com/cockroachdb/pebble/v2/vfs"`, "may not import"},
		{"store and ristretto", "store/a.go", `import _ "github.com/dgraph-io/ristretto/v2"`, "may not import"},

		{"the law and files", "consent/a.go", `import _ "os"`, "may not import os"},
		{"the law and sockets", "consent/a.go", `import _ "net/http"`, "may not import net/http"},
		{"the law and logs", "consent/a.go", `import _ "log/slog"`, "may not import log/slog"},
		{"the law and libraries", "consent/a.go", `import _ "github.com/google/uuid"`, "may not import github.com/google/uuid"},
		{"the law and the clock", "consent/a.go", `import "time"; var at = time.Now()`, "may not use time.Now"},
		{"the clock as a value", "consent/a.go", `import "time"; var clock = time.Now`, "may not use time.Now"},
		{"the clock renamed", "consent/a.go", `import x "time"; var at = x.Since`, "may not use time.Since"},
		{"the clock without a name", "consent/a.go", `import . "time"; var at = Now()`, "by dot"},
		{"the law and standard output", "consent/a.go", `import "fmt"; func f() { fmt.Println() }`, "may not use fmt.Println"},
		{"the law and goroutines", "consent/a.go", `func f() { go f() }`, "may not start a goroutine"},
		{"the law below", "consent/lawtable/a.go", `import _ "os"`, "may not import os"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file, err := parser.ParseFile(token.NewFileSet(), tt.file, "package a\n"+tt.source, 0)
			if err != nil {
				t.Fatal(err)
			}
			got := breaches(tt.file, file)
			if tt.want == "" {
				if len(got) != 0 {
					t.Errorf("breaches: %q, want none", got)
				}
				return
			}
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("breaches: %q, want one with %q", got, tt.want)
			}
		})
	}
}

// breaches says which walls a file of production code breaks. The name is its path from the root of the module.
func breaches(name string, file *ast.File) []string {
	room := roomOf(path.Dir(name))
	friends, known := knows[room]
	if !known {
		return []string{fmt.Sprintf("lies in %s, which is no known room", room)}
	}
	var found []string
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			found = append(found, err.Error())
			continue
		}
		if other, ours := ourRoom(imported); ours && other != room && !slices.Contains(friends, other) {
			found = append(found, fmt.Sprintf("may not import %s of room %s", imported, other))
		}
		for _, o := range owners {
			if isLibrary(imported, o.library) && !slices.Contains(o.rooms, room) {
				found = append(found, fmt.Sprintf("may not import %s, which belongs to %s", imported, strings.Join(o.rooms, ", ")))
			}
		}
		if room == "consent" && !pureImport(imported) {
			found = append(found, fmt.Sprintf("may not import %s: the law is pure", imported))
		}
	}
	if room == "consent" {
		found = append(found, impureCode(file)...)
	}
	return found
}

// impureCode says where a file reaches for a clock, a goroutine or the standard streams.
func impureCode(file *ast.File) []string {
	var found []string
	symbols := map[string]string{} // name in this file → import path
	for _, spec := range file.Imports {
		imported := strings.Trim(spec.Path.Value, "`\"")
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			found = append(found, fmt.Sprintf("may not import %s by dot", imported))
		}
		symbols[name] = imported
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "may not start a goroutine: the law is pure")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && slices.Contains(impureSymbols[symbols[x.Name]], n.Sel.Name) {
				found = append(found, fmt.Sprintf("may not use %s.%s: the law is pure", symbols[x.Name], n.Sel.Name))
			}
		}
		return true
	})
	return found
}

// pureImport says whether the law may import a package. Packages of ours are the business of knows.
func pureImport(imported string) bool {
	within := func(tree string) bool { return isWithin(imported, tree) }
	if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
		return isWithin(imported, module) || slices.ContainsFunc(lawLibraries, within)
	}
	return !slices.ContainsFunc(impureImports, within)
}

// ourRoom returns the room of an import path, if it is one of ours.
func ourRoom(imported string) (room string, ours bool) {
	if !isWithin(imported, module) {
		return "", false
	}
	return roomOf(strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")), true
}

// roomOf returns the top-level folder of a path from the root of the module, and nothing for the root itself.
func roomOf(dir string) string {
	room, _, _ := strings.Cut(dir, "/")
	if room == "." {
		return ""
	}
	return room
}

// isLibrary says whether an import belongs to a library or to its companions, named alike with a hyphen (raft, raft-autopilot).
func isLibrary(imported, library string) bool {
	return isWithin(imported, library) || strings.HasPrefix(imported, library+"-")
}

func isWithin(imported, tree string) bool {
	return imported == tree || strings.HasPrefix(imported, tree+"/")
}

// goFiles parses every Go file of the module, whatever its build constraints, by its path from the root.
func goFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && isForeign(name) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// isForeign says whether a folder is none of the module's: the go command passes over it, or it is a module of its own.
func isForeign(dir string) bool {
	base := filepath.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}
