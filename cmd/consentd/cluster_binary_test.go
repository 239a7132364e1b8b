package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestClusterLife takes three processes through the life of a cluster: found, write and read elsewhere, lose the leader, grow, shrink.
func TestClusterLife(t *testing.T) {
	c := foundCluster(t, 3)
	out := c.await(t, c.members[0], "a cluster of three", healthy(3, 3))
	if out.FailuresTolerated != 1 || out.ClusterID == "" || out.MaxStaleness == nil || *out.MaxStaleness != "2s" {
		t.Errorf("%+v", out)
	}
	if list := decode[struct{ Policies []any }](t, must(t, c.members[2].addr, "policy", "list", "-o", "json")); len(list.Policies) != 1 {
		t.Errorf("the same --policy on three replicas made %d versions", len(list.Policies))
	}
	readElsewhere(t, c, out.Leader)
	loseLeader(t, c, out.Leader)
	growAndShrink(t, c)
}

// readElsewhere writes on one follower and reads that on the other.
func readElsewhere(t *testing.T, c *testCluster, leader string) {
	t.Helper()
	followers := c.but(leader)
	written := decode[struct{ Revision string }](t, must(t, followers[0].addr, "record", "withdraw", "anna", "newsletter/email", "-o", "json"))
	for _, how := range [][]string{{"--at-least", written.Revision}, {"--fully-consistent"}} {
		got := consentd(t, append([]string{"check", "anna", "newsletter/email", "--addr", followers[1].addr}, how...)...)
		if got.code != exitDenied || !strings.Contains(got.stdout, "WITHDRAWN") {
			t.Errorf("%s doesn't know what %s wrote: %+v", followers[1].id, followers[0].id, got)
		}
	}
}

// loseLeader kills the leader: the others go on, and it comes back with the same flags.
func loseLeader(t *testing.T, c *testCluster, leader string) {
	t.Helper()
	lost := c.member(t, leader)
	lost.kill(t)
	survivors := c.but(leader)
	must(t, survivors[0].addr, "record", "withdraw", "berta", "newsletter/email", "--timeout", patience.String())
	out := c.await(t, survivors[1], "another leader", func(out clusterOutput) bool { return out.Leader != "" && out.Leader != leader })
	for _, m := range out.Members {
		if m.ID == leader && (m.Healthy || m.LastContactMS != nil) {
			t.Errorf("the one that was killed: %+v", m)
		}
	}
	if out.FailuresTolerated != 0 {
		t.Errorf("%d voters may fail while one is away", out.FailuresTolerated)
	}
	lost.start(t)
	c.await(t, lost, "a cluster of three again", healthy(3, 3))
	for _, m := range c.members {
		checkWithdrawn(t, m.addr, []string{"anna", "berta"})
	}
}

// growAndShrink lets a fourth replica join, and takes another out.
func growAndShrink(t *testing.T, c *testCluster) {
	t.Helper()
	fourth := c.add(t, "--bootstrap-expect", "3", "--join", strings.Join(c.addrs(), ","))
	fourth.start(t)
	c.await(t, fourth, "a fourth that votes", healthy(4, 4))
	checkWithdrawn(t, fourth.addr, []string{"anna", "berta"})
	must(t, fourth.addr, "cluster", "transfer-leader", "n4")
	c.await(t, c.members[0], "the fourth leads", func(out clusterOutput) bool { return out.Leader == "n4" })
	must(t, c.members[0].addr, "cluster", "demote", "n1")
	c.await(t, fourth, "a learner", healthy(4, 3))
	must(t, c.members[0].addr, "cluster", "promote", "n1")
	c.await(t, fourth, "no learner", healthy(4, 4))
	must(t, c.members[1].addr, "cluster", "snapshot")
	removed := c.member(t, "n3")
	must(t, c.members[1].addr, "cluster", "remove", "n3")
	c.await(t, fourth, "a cluster without the third", healthy(3, 3))
	if code := removed.wait(t); code != exitFailed || !strings.Contains(removed.log.text.String(), "removed") {
		t.Errorf("the one that was removed: exit code %d:\n%s", code, removed.log.text.String())
	}
	for _, id := range []string{"n3", "nobody"} {
		if got := consentd(t, "cluster", "remove", id, "--addr", fourth.addr); got.code != exitFailed ||
			!strings.Contains(got.stderr, "UNKNOWN_MEMBER") {
			t.Errorf("removing %s: %+v", id, got)
		}
	}
	if err := os.RemoveAll(removed.data); err != nil {
		t.Fatal(err)
	}
	removed.start(t)
	c.await(t, fourth, "a new third", healthy(4, 4))
	checkWithdrawn(t, removed.addr, []string{"anna", "berta"})
}

// TestClusterOverTLS founds a cluster whose replicas prove to each other who they are. One whose certificate names another is told so.
func TestClusterOverTLS(t *testing.T) {
	c := newTestCluster(t)
	authority := newTestAuthority(t)
	for range 2 {
		m := c.add(t, "--bootstrap-expect", "2")
		m.flags = append(m.flags, authority.issue(t, m.id)...)
	}
	for _, m := range c.members {
		m.flags = append(m.flags, "--join", strings.Join(c.addrs(), ","))
		m.launch(t)
	}
	for _, m := range c.members {
		m.awaitReady(t)
	}
	c.await(t, c.members[1], "a cluster of two", healthy(2, 2))
	must(t, c.members[1].addr, "record", "withdraw", "anna", "newsletter/email")
	checkWithdrawn(t, c.members[1].addr, []string{"anna"})

	impostor := c.add(t, "--join", c.members[0].addr)
	args := append([]string{"serve", "--data-dir", impostor.data, "--listen", impostor.addr, "--ops-listen", "127.0.0.1:0"}, impostor.flags...)
	got := runBinary(t, nil, append(args, authority.issue(t, "n1")...)...)
	if got.code != exitFailed || !strings.Contains(got.stderr, "the certificate names") {
		t.Errorf("with the certificate of n1: %+v", got)
	}
}

// TestReadiness takes the majority away: past the bound the one that is left answers STALE and says that it isn't ready, and once the other
// is back it is again by itself.
func TestReadiness(t *testing.T) {
	c := foundCluster(t, 2)
	left, lost := c.members[0], c.members[1]
	c.await(t, left, "a cluster of two", healthy(2, 2))
	lost.kill(t)
	left.awaitOps(t, "/readyz", http.StatusServiceUnavailable)
	if got := consentd(t, "check", "anna", "newsletter/email", "--addr", left.addr); got.code != exitFailed || !strings.Contains(got.stderr, "STALE") {
		t.Errorf("a check past the bound: %+v", got)
	}
	left.awaitOps(t, "/livez", http.StatusOK)
	lost.start(t)
	left.awaitOps(t, "/readyz", http.StatusOK)
	if got := consentd(t, "check", "anna", "newsletter/email", "--addr", left.addr); got.code != exitDenied {
		t.Errorf("a check after that: %+v", got)
	}
}

// TestJoinTold tells a replica that waits which cluster to join, and lets another never vote.
func TestJoinTold(t *testing.T) {
	c := newTestCluster(t)
	first := c.add(t)
	first.start(t)
	told := c.add(t, "--bootstrap-expect", "3")
	told.launch(t)
	told.log.waitFor(t, "waiting")
	if got := consentd(t, "cluster", "status", "--addr", told.addr); got.code != exitFailed ||
		!strings.Contains(got.stderr, "is waiting for 2 of 3 expected replicas, or to be told by 'consentd cluster join'") {
		t.Errorf("the status of one that waits: %+v", got)
	}
	out := decode[joinOutput](t, must(t, told.addr, "cluster", "join", first.addr, "-o", "json", "--timeout", patience.String()))
	told.awaitReady(t)
	learner := c.add(t, "--learner", "--join", first.addr)
	learner.start(t)
	if status := c.await(t, first, "two voters and a learner", healthy(3, 2)); status.ClusterID != out.ClusterID {
		t.Errorf("joined %s, and not %s", out.ClusterID, status.ClusterID)
	}
	if again := decode[joinOutput](t, must(t, told.addr, "cluster", "join", first.addr, "-o", "json")); again != out {
		t.Errorf("joining again: %+v", again)
	}
	other := newTestCluster(t)
	stranger := other.add(t)
	stranger.start(t)
	if got := consentd(t, "cluster", "join", first.addr, "--addr", stranger.addr); got.code != exitFailed ||
		!strings.Contains(got.stderr, "MEMBERSHIP") {
		t.Errorf("a member of another cluster joins: %+v", got)
	}
}

// TestClusterRefusals starts replicas that mustn't run: the message says why.
func TestClusterRefusals(t *testing.T) {
	c := newTestCluster(t)
	first := c.add(t)
	first.start(t)
	foreign := filepath.Join(c.dir, "foreign")
	if err := os.MkdirAll(filepath.Join(foreign, "photos"), 0o700); err != nil {
		t.Fatal(err)
	}
	otherKey := newKey(t, shortDir(t))
	raft := []string{"--raft-listen", "127.0.0.1:0", "--join", first.addr}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no key":              {append([]string{"--data-dir", filepath.Join(c.dir, "a")}, raft...), "keys new"},
		"another key":         {append([]string{"--data-dir", filepath.Join(c.dir, "b"), "--pseudonym-key-file", otherKey}, raft...), "key"},
		"a foreign directory": {append([]string{"--data-dir", foreign, "--pseudonym-key-file", c.key}, raft...), "it isn't consentd's"},
		"a name that is taken": {append([]string{
			"--data-dir", filepath.Join(c.dir, "c"), "--pseudonym-key-file", c.key, "--node-id", first.id,
		}, raft...), first.id},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"}, test.args...)
			got := runBinary(t, nil, args...)
			if got.code != exitFailed || !strings.Contains(got.stderr[strings.LastIndex(got.stderr, "consentd: "):], test.want) {
				t.Errorf("exit code %d, want %q:\n%s", got.code, test.want, got.stderr)
			}
		})
	}
	first.kill(t)
	lonely := slices.Clone(first.flags)
	lonely[slices.Index(lonely, "--node-id")+1] = "n9"
	if got := runBinary(t, nil, append([]string{"serve", "--data-dir", first.data, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"},
		lonely...)...); got.code != exitFailed || !strings.Contains(got.stderr, "n9") {
		t.Errorf("another name in the same directory: %+v", got)
	}
}

// TestForeignDirectory gives a replica that is to join a cluster the directory of another one: it never answers from it. Its own cluster
// may grow all the same.
func TestForeignDirectory(t *testing.T) {
	c := newTestCluster(t)
	first := c.add(t)
	first.start(t)
	stray := c.add(t)
	stray.start(t)
	own := decode[clusterOutput](t, must(t, stray.addr, "cluster", "status", "-o", "json")).ClusterID
	stray.kill(t)
	got := runBinary(t, nil, append([]string{
		"serve", "--data-dir", stray.data, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--join", first.addr,
	}, stray.flags...)...)
	for _, want := range []string{"the data directory can't be used", own, first.addr, "move the directory away"} {
		if got.code != exitFailed || !strings.Contains(got.stderr[strings.LastIndex(got.stderr, "consentd: "):], want) {
			t.Errorf("exit code %d, want %q:\n%s", got.code, want, got.stderr)
		}
	}
	if strings.Contains(got.stderr, "msg=ready") || strings.Contains(got.stderr, `"msg":"ready"`) {
		t.Errorf("it was ready:\n%s", got.stderr)
	}
	first.kill(t)
	newcomer := c.add(t, "--join", stray.addr+","+first.addr)
	stray.flags = append(stray.flags, "--join", stray.addr+","+newcomer.addr)
	newcomer.launch(t)
	stray.start(t)
	newcomer.awaitReady(t)
}

// TestBackup copies a cluster into a file and that into another cluster.
func TestBackup(t *testing.T) {
	c := newTestCluster(t)
	first := c.add(t)
	first.start(t)
	must(t, first.addr, "record", "withdraw", "anna", "newsletter/email")
	file := filepath.Join(c.dir, "backup")
	made := decode[backupOutput](t, must(t, first.addr, "cluster", "backup", file, "-o", "json"))
	if made.Subjects != 1 || made.Events != 1 || made.Policies != 1 || len(made.Tenants) != 1 || made.Tenants[0].Name != "default" {
		t.Errorf("%+v", made)
	}
	if _, err := os.Stat(file + ".part"); err == nil {
		t.Error("the unfinished file is still there")
	}
	if got := consentd(t, "cluster", "backup", file, "--addr", first.addr); got.code != exitUsage {
		t.Errorf("over a file that is there: %+v", got)
	}
	must(t, first.addr, "cluster", "backup", file, "--force")
	if streamed := must(t, first.addr, "cluster", "backup", "-"); len(streamed) == 0 {
		t.Error("nothing on standard output")
	} else if got := (call{args: []string{"cluster", "inspect", "-"}, stdin: streamed}).run(t); got.code != exitDone {
		t.Errorf("what standard output got: %+v", got)
	}

	second := newTestCluster(t)
	second.key = c.key
	into := second.add(t)
	into.flags = into.flags[:len(into.flags)-2] // without a policy: it comes from the backup
	into.start(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cut short": string(whole[:len(whole)/2]), "altered": flipped(whole), "foreign": "no backup"} {
		damaged := writeFile(t, "damaged", text)
		if got := consentd(t, "cluster", "inspect", damaged); got.code != exitFailed || got.stdout != "" {
			t.Errorf("inspecting one %s: %+v", name, got)
		}
		if got := consentd(t, "cluster", "restore", damaged, "--addr", into.addr); got.code != exitFailed ||
			!strings.Contains(got.stderr, "BACKUP_UNUSABLE") {
			t.Errorf("restoring one %s: %+v", name, got)
		}
	}
	restored := decode[restoreOutput](t, must(t, into.addr, "cluster", "restore", file, "-o", "json"))
	if restored.Subjects != 1 || restored.Tenants != 1 || restored.BackedUpAt == nil {
		t.Errorf("%+v", restored)
	}
	checkWithdrawn(t, into.addr, []string{"anna"})
	if got := consentd(t, "cluster", "restore", file, "--addr", into.addr); got.code != exitFailed {
		t.Errorf("over subjects: %+v", got)
	}
	must(t, into.addr, "cluster", "restore", file, "--replace")
	must(t, into.addr, "record", "withdraw", "berta", "newsletter/email")
	stranger := newTestCluster(t).add(t)
	stranger.start(t)
	if got := consentd(t, "cluster", "restore", file, "--replace", "--addr", stranger.addr); got.code != exitFailed ||
		!strings.Contains(got.stderr, "key") {
		t.Errorf("with another key: %+v", got)
	}
}

// flipped is a text with one bit of its middle changed.
func flipped(text []byte) string {
	changed := slices.Clone(text)
	changed[len(changed)/2] ^= 1
	return string(changed)
}
