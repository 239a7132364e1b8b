//go:build (linux || darwin || freebsd || netbsd || openbsd) && !race

package store

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	chunkBytes    = int(unsafe.Sizeof(chunk{}))
	hugePageBytes = 2 << 20

	// adviseHugePage is MADV_HUGEPAGE, which only Linux has.
	adviseHugePage = 14
)

// mapChunk maps a chunk outside the Go heap. It starts at a huge page's
// boundary and asks for huge pages: a lookup touches two random places, and
// with small pages each would miss the TLB as well as the cache.
func mapChunk() (*chunk, error) {
	const all = chunkBytes + hugePageBytes
	base, err := unix.MmapPtr(-1, 0, nil, uintptr(all), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	head := (hugePageBytes - int(uintptr(base)%hugePageBytes)) % hugePageBytes
	start := unsafe.Add(base, head)
	if err := trim(base, head); err != nil {
		return nil, err
	}
	if err := trim(unsafe.Add(start, chunkBytes), all-head-chunkBytes); err != nil {
		return nil, err
	}
	if runtime.GOOS == "linux" {
		// Advice may be refused (a kernel without huge pages): slower, not wrong.
		_ = unix.Madvise(unsafe.Slice((*byte)(start), chunkBytes), adviseHugePage)
	}
	return (*chunk)(start), nil
}

func trim(at unsafe.Pointer, bytes int) error {
	if bytes == 0 {
		return nil
	}
	return unix.MunmapPtr(at, uintptr(bytes))
}

func unmapChunk(c *chunk) {
	// It fails only for an address that was never mapped.
	_ = unix.MunmapPtr(unsafe.Pointer(c), uintptr(chunkBytes))
}
