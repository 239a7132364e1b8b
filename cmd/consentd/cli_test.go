package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// call is one command line, run in this process.
type call struct {
	args  []string
	stdin string
	env   []string
}

// result is what a command line came to.
type result struct {
	code           int
	stdout, stderr string
}

func (c call) run(t *testing.T) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), c.args, process{
		stdin: strings.NewReader(c.stdin), stdout: &stdout, stderr: &stderr,
		environ: func() []string { return c.env },
	})
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

func consentd(t *testing.T, args ...string) result {
	t.Helper()
	return call{args: args}.run(t)
}

// decode reads what a command printed as JSON.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var out T
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return out
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUsage calls commands wrongly: nothing is asked of any server, the exit code is 2, and the message says what is wrong.
func TestUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"unknown command", []string{"chekc"}, `unknown command "chekc" (did you mean check?): choose audit, bench`},
		{"unknown flag", []string{"check", "anna", "--explian"}, "--explian"},
		{"no subject", []string{"check"}, "name a subject"},
		{"a consent of the future", []string{"record", "grant", "anna", "p", "--at", "2062-01-10"}, "--at 2062-01-10T00:00:00Z lies in the future"},
		{"empty subject", []string{"check", " "}, "the subject is empty"},
		{"two consistencies", []string{"check", "anna", "--at-least", "r", "--fully-consistent"}, "at-least"},
		{"output", []string{"check", "anna", "-o", "xml"}, "table, json or yaml"},
		{"timeout", []string{"check", "anna", "--timeout", "0s"}, "more than nothing"},
		{"address", []string{"check", "anna", "p", "--addr", "nowhere"}, "neither host:port nor unix:///path"},
		{"no port", []string{"check", "anna", "p", "--addr", "127.0.0.1:99999"}, "has no port"},
		{"back up to a directory", []string{"cluster", "backup", "."}, ". is a directory: name a file"},
		{"socket without a path", []string{"check", "anna", "p", "--addr", "unix://"}, "names no socket"},
		{"record nothing", []string{"record"}, "say what to do: confirm, deliverable"},
		{"record unknown", []string{"record", "revoke", "anna"}, `unknown command "revoke": choose confirm, deliverable`},
		{"record misspelt", []string{"record", "withdrow", "anna"}, "did you mean withdraw?"},
		{"grant everything", []string{"record", "grant", "anna"}, "name the permissions"},
		{"grant --all", []string{"record", "grant", "anna", "--all"}, "--all"},
		{"withdraw nothing", []string{"record", "withdraw", "anna"}, "say --all"},
		{"withdraw everything and something", []string{"record", "withdraw", "anna", "newsletter/email", "--all"}, "name nothing beside it"},
		{"erase a permission", []string{"record", "erase", "anna", "newsletter/email"}, "as a whole"},
		{"set nothing", []string{"record", "set", "anna"}, "relationship"},
		{"set the unknown", []string{"record", "set", "anna", "shoe_size=42"}, "takes no shoe_size="},
		{"set to nonsense", []string{"record", "set", "anna", "relationship=friend"}, "former_customer"},
		{"no value", []string{"record", "set", "anna", "country="}, "has no value"},
		{"bool", []string{"record", "set", "anna", "contract_active=perhaps"}, "true or false"},
		{"hash", []string{"record", "grant", "anna", "p", "notice_hash=abc"}, "64 hexadecimal digits"},
		{"two kinds of objection", []string{"record", "object", "anna", "--all", "--marketing", "objection=processing"}, "another kind"},
		{"explicit withdrawal", []string{"record", "withdraw", "anna", "p", "--explicit"}, "--explicit"},
		{"marketing grant", []string{"record", "grant", "anna", "p", "--marketing"}, "--marketing"},
		{"time", []string{"record", "grant", "anna", "p", "--at", "yesterday"}, "2026-01-10T09:00:00Z"},
		{"method", []string{"record", "grant", "anna", "p", "--method", "telepathy"}, "web_form"},
		{"method zero", []string{"record", "grant", "anna", "p", "--method", "unspecified"}, "web_form"},
		{"request id", []string{"record", "grant", "anna", "p", "--request-id", "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, "no UUIDv7"},
		{"segment without a list", []string{"segment", "newsletter/email"}, "--in is missing: the list: a FILE, or - for"},
		{"segment without a word", []string{"segment"}, "name one permission"},
		{"segment without a permission", []string{"segment", "--in", "-"}, "name one permission"},
		{"import without a file", []string{"import", "--format", "csv"}, "name the files"},
		{"import without a format", []string{"import", "a.csv"}, "--format is missing: mailchimp, csv or ndjson"},
		{"import format", []string{"import", "a.csv", "--format", "excel"}, "mailchimp, csv or ndjson"},
		{"map", []string{"import", "a.csv", "--format", "csv", "--map", "subject"}, "field=column"},
		{"map the unknown", []string{"import", "a.csv", "--format", "csv", "--map", "shoe=Schuh"}, "no field shoe"},
		{"map twice", []string{"import", "a.csv", "--format", "csv", "--map", "subject=A", "--map", "subject=B"}, "mapped already"},
		{"delimiter", []string{"import", "a.csv", "--format", "csv", "--delimiter", "::"}, "more than one character"},
		{"encoding", []string{"import", "a.csv", "--format", "csv", "--permission", "p/q", "--encoding", "ebcdic"}, "ebcdic"},
		{"import of no permission", []string{"import", "a.csv", "--format", "csv"}, "name the permission"},
		{"a column of ndjson", []string{"import", "a", "--format", "ndjson", "--column", "x"}, "no columns"},
		{"mailchimp over no channel", []string{"import", "a", "--format", "mailchimp", "--permission", "crm_storage"}, "channel"},
		{"audit over no channel", []string{"audit", "a", "--format", "mailchimp", "--permission", "crm_storage"}, "channel"},
		{"audit without a permission", []string{"audit", "a.csv"}, "--permission is missing: "},
		{"audit events", []string{"audit", "a", "--format", "ndjson", "--permission", "p"}, "mailchimp or csv"},
		{"audit events of csv", []string{"audit", "a", "--permission", "p", "--notice-version", "3"}, "for mailchimp"},
		{"two subjects", []string{"subject", "show", "anna", "berta"}, "one subject"},
		{"validate nothing", []string{"policy", "validate"}, "one file"},
		{"show a file", []string{"policy", "show", "x"}, "unexpected argument"},
		{"show a negative version", []string{"policy", "show", "--version", "-1"}, "counted from 1"},
		{"suppose without a dry run", []string{"policy", "apply", "x", "--business"}, "--dry-run supposes"},
		{"cluster nothing", []string{"cluster"}, "say what to do: backup, demote, inspect, join, promote"},
		{"remove nobody", []string{"cluster", "remove"}, "name one member by its id"},
		{"remove two", []string{"cluster", "remove", "n1", "n2"}, "name one member by its id"},
		{"transfer to two", []string{"cluster", "transfer-leader", "n1", "n2"}, "name one member by its id"},
		{"join nobody", []string{"cluster", "join"}, "name the --listen address of a member"},
		{"join nowhere", []string{"cluster", "join", "n1"}, `"n1" can't be the address of a member`},
		{"serve nowhere", []string{"serve"}, "--data-dir"},
		{"serve an address of clients", []string{"serve", "--data-dir", "d", "--addr", "127.0.0.1:1"}, "serve listens on --listen"},
		{"serve everybody", []string{"serve", "--data-dir", "d", "--listen", ":7433"}, dangerFlag},
		{"serve everybody's ops", []string{"serve", "--data-dir", "d", "--listen", "127.0.0.1:0", "--ops-listen", "0.0.0.0:7434"}, dangerFlag},
		{"serve nonsense", []string{"serve", "--data-dir", "d", "--listen", "7433"}, "write host:port or unix:///path"},
		{"no staleness", []string{"serve", "--data-dir", "d", "--max-staleness", "500ms"}, "--max-staleness 500ms must be"},
		{"too long a staleness", []string{"serve", "--data-dir", "d", "--max-staleness", "2h"}, "--max-staleness 2h"},
		{"a fifth of a replica", []string{"serve", "--data-dir", "d", "--bootstrap-expect", "0.2"}, `--bootstrap-expect: "0.2" is no number`},
		{"log level", []string{"serve", "--data-dir", "d", "--log-level", "loud"}, `--log-level: "loud" is none: choose debug, info, warn or error`},
		{"duration", []string{"check", "anna", "--timeout", "5"}, `--timeout: "5" is no duration: write it with its unit`},
		{"number", []string{"record", "grant", "anna", "p", "--notice-version", "v3"}, `--notice-version: "v3" is no number`},
		{"yes or no", []string{"check", "anna", "--explain=perhaps"}, `--explain: "perhaps" is neither true nor false`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := consentd(t, tt.args...)
			if got.code != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("exit code %d, standard output %q, standard error:\n%s\nwant exit code %d and %q", got.code, got.stdout, got.stderr,
					exitUsage, tt.want)
			}
			if !strings.Contains(got.stderr, "--help'") {
				t.Errorf("no hint at the help in:\n%s", got.stderr)
			}
		})
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"record", "--help"}, {"record", "grant", "--help"}, {"completion", "bash"}} {
		got := consentd(t, args...)
		if got.code != exitDone || got.stdout == "" || got.stderr != "" {
			t.Errorf("consentd %s: exit code %d, standard error %q", strings.Join(args, " "), got.code, got.stderr)
		}
	}
}

// TestNobodyThere asks where nothing listens: the message says so, and how to start a server.
func TestNobodyThere(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:1", "unix://" + filepath.Join(t.TempDir(), "none.sock")} {
		got := consentd(t, "check", "anna", "newsletter/email", "--addr", addr)
		if got.code != exitFailed || !strings.Contains(got.stderr, "no consentd answers at "+addr) ||
			!strings.Contains(got.stderr, "consentd serve --data-dir") || strings.Contains(got.stderr, "rpc error") {
			t.Errorf("%s: exit code %d:\n%s", addr, got.code, got.stderr)
		}
	}
}

// TestWrongPort asks a port that isn't the API's, such as that of the peers.
func TestWrongPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "\x20something else than HTTP/2")
			io.Copy(io.Discard, conn) // until the caller is gone
			conn.Close()
		}
	}()
	got := consentd(t, "cluster", "status", "--addr", listener.Addr().String())
	if got.code != exitFailed || !strings.Contains(got.stderr, "something else answers at") || !strings.Contains(got.stderr, "--raft-listen") {
		t.Errorf("%+v", got)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"check", "anna", "newsletter/email"}, process{
		stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, environ: func() []string { return nil },
	})
	if code != exitFailed || stdout.String() != "" || stderr.String() != "consentd: interrupted\n" {
		t.Errorf("exit code %d, standard error %q", code, stderr.String())
	}
}

func TestVersion(t *testing.T) {
	for _, word := range []string{"version", "--version"} {
		got := consentd(t, word)
		if got.code != exitDone || !strings.HasPrefix(got.stdout, "consentd devel (commit unknown, go") {
			t.Errorf("%s: %+v", word, got)
		}
	}
	if out := decode[versionOutput](t, consentd(t, "version", "-o", "json").stdout); out.Version != "devel" || out.Go == "" {
		t.Errorf("%+v", out)
	}
}
