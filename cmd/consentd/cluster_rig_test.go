package main

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// newKey makes a pseudonym key as operators do.
func newKey(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "pseudonym.key")
	if got := consentd(t, "keys", "new", path); got.code != exitDone {
		t.Fatalf("keys new: %+v", got)
	}
	return path
}

// memberProcess is a replica of a cluster, which may be started again with the same flags.
type memberProcess struct {
	*replicaProcess
	id, addr, data string
	flags          []string
}

// testCluster is real processes on this machine. They talk to each other over TCP and answer on unix sockets.
type testCluster struct {
	dir, key string
	members  []*memberProcess
}

// foundCluster starts replicas with the same flags, which found a cluster.
func foundCluster(t *testing.T, size int) *testCluster {
	t.Helper()
	c := newTestCluster(t)
	for range size {
		c.add(t, "--bootstrap-expect", fmt.Sprint(size))
	}
	join := strings.Join(c.addrs(), ",")
	for _, m := range c.members {
		m.flags = append(m.flags, "--join", join)
		m.launch(t)
	}
	for _, m := range c.members {
		m.awaitReady(t)
	}
	return c
}

func newTestCluster(t *testing.T) *testCluster {
	t.Helper()
	dir := shortDir(t)
	return &testCluster{dir: dir, key: newKey(t, dir)}
}

// add prepares a replica, which isn't started yet.
func (c *testCluster) add(t *testing.T, flags ...string) *memberProcess {
	t.Helper()
	id := fmt.Sprintf("n%d", len(c.members)+1)
	m := &memberProcess{
		id: id, addr: "unix://" + filepath.Join(c.dir, id+".sock"), data: filepath.Join(c.dir, id),
		flags: append([]string{
			"--node-id", id, "--raft-listen", freeAddress(t), "--pseudonym-key-file", c.key, "--policy", shopPolicy,
		}, flags...),
	}
	c.members = append(c.members, m)
	return m
}

// freeAddress is one that a process can take, and its next start again.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (m *memberProcess) launch(t *testing.T) {
	t.Helper()
	m.replicaProcess = launch(t, m.addr, m.data, m.flags...)
}

// start starts the process and waits until it answers.
func (m *memberProcess) start(t *testing.T) {
	t.Helper()
	m.launch(t)
	m.awaitReady(t)
}

// awaitOps asks the ops address until it answers with a status.
func (m *memberProcess) awaitOps(t *testing.T, path string, want int) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		reply, err := http.Get("http://" + m.ops + path)
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if reply.StatusCode == want {
			return
		}
	}
	t.Fatalf("%s of %s never answers %d", path, m.id, want)
}

func (c *testCluster) addrs() []string {
	var addrs []string
	for _, m := range c.members {
		addrs = append(addrs, m.addr)
	}
	return addrs
}

// await asks a member until the cluster is as it should be.
func (c *testCluster) await(t *testing.T, m *memberProcess, what string, as func(clusterOutput) bool) clusterOutput {
	t.Helper()
	var got result
	for began := time.Now(); time.Since(began) < patience; {
		if got = consentd(t, "cluster", "status", "--addr", m.addr, "-o", "json"); got.code != exitDone {
			continue
		}
		if out := decode[clusterOutput](t, got.stdout); as(out) {
			return out
		}
	}
	t.Fatalf("%s doesn't come to be: %+v", what, got)
	return clusterOutput{}
}

// healthy says that all members are there, as many voters among them.
func healthy(members, voters int) func(clusterOutput) bool {
	return func(out clusterOutput) bool {
		voting := 0
		for _, m := range out.Members {
			if !m.Healthy {
				return false
			}
			if m.Role != "LEARNER" {
				voting++
			}
		}
		return out.Leader != "" && len(out.Members) == members && voting == voters
	}
}

// member returns one by its id.
func (c *testCluster) member(t *testing.T, id string) *memberProcess {
	t.Helper()
	i := slices.IndexFunc(c.members, func(m *memberProcess) bool { return m.id == id })
	if i < 0 {
		t.Fatalf("%q is no member that was started", id)
	}
	return c.members[i]
}

// but returns the members that aren't the one of an id.
func (c *testCluster) but(id string) []*memberProcess {
	return slices.DeleteFunc(slices.Clone(c.members), func(m *memberProcess) bool { return m.id == id })
}
