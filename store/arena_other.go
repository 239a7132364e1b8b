//go:build !(linux || darwin || freebsd || netbsd || openbsd) || race

package store

// mapChunk takes a chunk from the Go heap, which doesn't scan it but counts
// it. Used where there is no mmap, and under the race detector, which is
// blind to memory that isn't Go's.
func mapChunk() (*chunk, error) { return new(chunk), nil }

func unmapChunk(*chunk) {}
