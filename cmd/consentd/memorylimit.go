package main

import (
	"io/fs"
	"log/slog"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// Of what the process's cgroup may take, the Go heap is to stay below so many tenths: the rest is for what the runtime doesn't count.
const heapTenths = 9

// limitHeap has the garbage collector run oftener instead of letting the Go heap take much more than a limit, or nine tenths of what the
// process's cgroup may take, whichever is less; zero is no limit. It returns what takes that back. Whoever set GOMEMLIMIT has the last word.
func limitHeap(root fs.FS, limit int64, log *slog.Logger) (undo func()) {
	before := debug.SetMemoryLimit(-1)
	if before != math.MaxInt64 {
		return func() {}
	}
	if most := cgroupMemory(root); most > 0 {
		if share := most / 10 * heapTenths; limit == 0 || share < limit {
			limit = share
			log.Info("the Go heap is kept within the memory of the cgroup: set GOMEMLIMIT for another limit",
				"limit_bytes", limit, "cgroup_bytes", most)
		}
	}
	if limit == 0 {
		return func() {}
	}
	debug.SetMemoryLimit(limit)
	return func() { debug.SetMemoryLimit(before) }
}

// cgroupMemory returns how many bytes the process's cgroup may take, by itself or as a part of those above it, or 0 if that isn't limited or
// can't be found out. It knows version 2 of cgroups alone. root is the file system.
func cgroupMemory(root fs.FS) (least int64) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/")
		if !ok {
			continue
		}
		for ; ; group = path.Dir(group) {
			if n := memoryMax(root, group); n > 0 && (least == 0 || n < least) {
				least = n
			}
			if group == "" || group == "." {
				return least
			}
		}
	}
	return 0
}

// memoryMax returns what a cgroup itself may take, or 0.
func memoryMax(root fs.FS, group string) int64 {
	text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", group, "memory.max"))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is none
	return n
}
