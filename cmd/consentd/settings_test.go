package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// TestSettingsPrecedence sets the same setting in several places: the file is overridden by the environment, and that by a flag.
func TestSettingsPrecedence(t *testing.T) {
	file := writeFile(t, "consentd.yaml", "addr: file:1\ntenant: file\ntimeout: 3s\n")
	environment := []string{"CONSENTD_ADDR=env:1", "CONSENTD_TENANT=env", "CONSENTD_SERVICE_HOST=ours to ignore", "PATH=/bin"}
	tests := []struct {
		name    string
		args    []string
		env     []string
		addr    string
		tenant  string
		timeout time.Duration
	}{
		{"nothing", nil, nil, defaultAddr, "default", 10 * time.Second},
		{"file", []string{"--config", file}, nil, "file:1", "file", 3 * time.Second},
		{"file from the environment", nil, []string{"CONSENTD_CONFIG=" + file}, "file:1", "file", 3 * time.Second},
		{"file and environment", []string{"--config", file}, environment, "env:1", "env", 3 * time.Second},
		{"all three", []string{"--config", file, "--addr", "flag:1"}, environment, "flag:1", "env", 3 * time.Second},
		{"a flag that repeats the default", []string{"--config", file, "--addr", defaultAddr}, environment, defaultAddr, "env", 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := settle(t, append([]string{"subject"}, tt.args...), tt.env)
			if c.addr != tt.addr || c.tenant != tt.tenant || c.timeout != tt.timeout {
				t.Errorf("addr %s, tenant %s, timeout %s; want %s, %s, %s", c.addr, c.tenant, c.timeout, tt.addr, tt.tenant, tt.timeout)
			}
		})
	}
}

// settle applies the settings without running the command.
func settle(t *testing.T, args, env []string) (*cli, *cobra.Command) {
	t.Helper()
	c := &cli{process: process{environ: func() []string { return env }}}
	root := newRootCommand(c)
	cmd, rest, err := root.Find(args)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Fatal(err)
	}
	if err := c.applySettings(root, cmd); err != nil {
		t.Fatal(err)
	}
	return c, cmd
}

func TestSettingsOfServe(t *testing.T) {
	file := writeFile(t, "consentd.yaml",
		"data_dir: /var/lib/consentd\nlisten:\n  - 127.0.0.1:1\n  - unix:///run/a.sock\npprof: true\nmax_staleness: 500ms\npolicy:\n")
	_, cmd := settle(t, []string{"serve", "--config", file}, []string{"CONSENTD_MAX_STALENESS=750ms"})
	got := map[string]string{}
	for _, name := range []string{"data-dir", "listen", "pprof", "max-staleness", "policy"} {
		got[name] = cmd.Flags().Lookup(name).Value.String()
	}
	want := map[string]string{
		"data-dir": "/var/lib/consentd", "listen": "[127.0.0.1:1,unix:///run/a.sock]", "pprof": "true", "max-staleness": "750ms", "policy": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, cmd = settle(t, []string{"serve", "--config", file}, []string{"CONSENTD_LISTEN=127.0.0.1:2,unix:///run/b.sock"})
	if got := cmd.Flags().Lookup("listen").Value.String(); got != "[127.0.0.1:2,unix:///run/b.sock]" {
		t.Errorf("a list of the environment: %s", got)
	}
}

func TestSettingsOfSidecar(t *testing.T) {
	file := writeFile(t, "sidecar.yaml", "upstream:\n  - n1:7433\n  - n2:7433\ncache_size: 1GiB\ndata_dir: of serve\n")
	_, cmd := settle(t, []string{"sidecar", "--config", file}, []string{"CONSENTD_TENANTS=shop,blog"})
	got := map[string]string{}
	for _, name := range []string{"upstream", "cache-size", "tenants"} {
		got[name] = cmd.Flags().Lookup(name).Value.String()
	}
	want := map[string]string{"upstream": "[n1:7433,n2:7433]", "cache-size": "1GiB", "tenants": "[shop,blog]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, cmd = settle(t, []string{"sidecar", "--config", file}, []string{"CONSENTD_UPSTREAM=n3:7433"})
	if got := cmd.Flags().Lookup("upstream").Value.String(); got != "[n3:7433]" {
		t.Errorf("the environment's upstream: %s", got)
	}
}

func TestSettingsRefused(t *testing.T) {
	tests := []struct {
		name, file string
		env        []string
		want       string
	}{
		{"a misspelt key", "adr: x:1\n", nil, `there is no setting "adr"`},
		{"a nested key", "serve:\n  listen: x:1\n", nil, `there is no setting "serve.listen"`},
		{"a setting of one call", "dry_run: true\n", nil, `there is no setting "dry_run"`},
		{"a file in a file", "config: other.yaml\n", nil, `there is no setting "config"`},
		{"no YAML", "addr: [\n", nil, "can't be read"},
		{"twice", "addr: x:1\naddr: y:1\n", nil, "can't be read"},
		{"a list for one value", "addr: [x:1, y:1]\n", nil, "is a list"},
		{"no duration", "timeout: soon\n", nil, `timeout: "soon" is no duration`},
		{"no format", "output: xml\n", nil, "output"},
		{"a value of the environment", "", []string{"CONSENTD_TIMEOUT=soon"}, `CONSENTD_TIMEOUT: "soon" is no duration`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"subject", "show", "anna", "--config", writeFile(t, "consentd.yaml", tt.file)}
			got := call{args: args, env: tt.env}.run(t)
			if got.code != exitUsage || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("exit code %d, want %d; standard error %q, want %q", got.code, exitUsage, got.stderr, tt.want)
			}
		})
	}
	args := []string{"serve", "--config", writeFile(t, "consentd.yaml", "raft_listen: 127.0.0.1:0\njoin: []\n"), "--data-dir", t.TempDir()}
	if got := consentd(t, args...); got.code != exitUsage || !strings.Contains(got.stderr, "join: the list is empty") {
		t.Errorf("a list of nothing: %+v", got)
	}
	if got := consentd(t, "subject", "show", "anna", "--config", "nowhere.yaml"); got.code != exitUsage {
		t.Errorf("a file that isn't there: exit code %d", got.code)
	}
}
