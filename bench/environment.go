package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// environmentOf says where the generator runs. What the system doesn't tell is left empty.
func environmentOf(o *Options) Environment {
	e := Environment{
		Version: o.Version, Commit: o.Commit, Toolchain: runtime.Version(), Kernel: runtime.GOOS + " " + runtime.GOARCH,
		Processors: runtime.GOMAXPROCS(0), SameHost: o.local(),
		Processor: field("/proc/cpuinfo", "model name"), Load: firstWords("/proc/loadavg", 3), Limits: limits(),
	}
	if release := firstWords("/proc/sys/kernel/osrelease", 1); release != "" {
		e.Kernel = "Linux " + release + " " + runtime.GOARCH
	}
	if kib, err := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64); err == nil {
		e.MemoryGiB = kib / (1 << 20)
	}
	return e
}

// field returns what stands behind a name and a colon in a file, in its first such line.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if key, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstWords(file string, n int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	words := strings.Fields(string(text))
	return strings.Join(words[:min(n, len(words))], " ")
}

// limits are those that the process runs under.
func limits() string {
	all := []string{fmt.Sprintf("GOMAXPROCS %d", runtime.GOMAXPROCS(0))}
	if files := openFiles(); files != "" {
		all = append(all, "open files "+files)
	}
	_, group, _ := strings.Cut(firstWords("/proc/self/cgroup", 1), "::")
	for _, name := range []string{"cpu.max", "memory.max"} {
		if value := firstWords(path.Join("/", "sys", "fs", "cgroup", group, name), 2); value != "" {
			all = append(all, name+" "+value)
		}
	}
	return strings.Join(all, ", ")
}

// serverInfo returns what the server says of itself: a sidecar says it of its replicas.
func (l *load) serverInfo(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	status, err := consentv1.NewClusterServiceClient(l.conns[0]).GetClusterStatus(ctx, &consentv1.GetClusterStatusRequest{})
	if err != nil {
		return "says nothing of itself: " + kindOf(err)
	}
	version := "unknown"
	for _, m := range status.GetMembers() {
		if m.GetId() == status.GetNodeId() {
			version = m.GetVersion()
		}
	}
	return fmt.Sprintf("version %s, %d in the cluster, staleness bound %s", version, len(status.GetMembers()), status.GetMaxStaleness().AsDuration())
}
