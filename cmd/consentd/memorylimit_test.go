package main

import (
	"bytes"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
)

func files(named map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range named {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestCgroupMemory(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no cgroups", nil, 0},
		{"in a container", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "134217728\n"}, 128 << 20},
		{"without a limit", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"as a unit of a slice", map[string]string{
			"proc/self/cgroup": "0::/system.slice/consentd.service\n", "sys/fs/cgroup/system.slice/consentd.service/memory.max": "max\n",
			"sys/fs/cgroup/system.slice/memory.max": "1000\n",
		}, 1000},
		{"the least counts", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "2000\n", "sys/fs/cgroup/a/memory.max": "1000\n",
		}, 1000},
		{"version 1 beside", map[string]string{"proc/self/cgroup": "4:memory:/x\n0::/a\n", "sys/fs/cgroup/a/memory.max": "7\n"}, 7},
		{"version 1 alone", map[string]string{"proc/self/cgroup": "4:memory:/x\n"}, 0},
		{"nonsense", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "much\n"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := cgroupMemory(files(tt.files)); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

func TestHeapIsLimited(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	cgroup := files(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000000000\n"})
	tests := []struct {
		name  string
		root  fstest.MapFS
		limit int64
		want  int64
		told  bool
	}{
		{"by nothing", files(nil), 0, math.MaxInt64, false},
		{"by the cache", files(nil), 5e8, 5e8, false},
		{"by the cgroup", cgroup, 0, 9e8, true},
		{"by the cache within the cgroup", cgroup, 5e8, 5e8, false},
		{"by the cgroup below the cache", cgroup, 2e9, 9e8, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			undo := limitHeap(tt.root, tt.limit, slog.New(slog.NewTextHandler(&log, nil)))
			if got := debug.SetMemoryLimit(-1); got != tt.want {
				t.Errorf("the limit is %d, want %d", got, tt.want)
			}
			if told := strings.Contains(log.String(), "GOMEMLIMIT"); told != tt.told {
				t.Errorf("told: %q", log.String())
			}
			undo()
			if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
				t.Errorf("afterwards the limit is %d", got)
			}
		})
	}
	debug.SetMemoryLimit(12345 << 20) // as GOMEMLIMIT does
	limitHeap(cgroup, 0, slog.New(slog.DiscardHandler))()
	if got := debug.SetMemoryLimit(-1); got != 12345<<20 {
		t.Errorf("GOMEMLIMIT doesn't have the last word: %d", got)
	}
}
