package cache

import (
	"crypto/rand"
	"encoding/binary"
	"unsafe"

	"github.com/dchest/siphash"
)

// key stands for a subject of a tenant within this process. Two subjects of a tenant share one as rarely as two draws of 128 bits are equal,
// and nobody outside can choose two that do; equal ids of two tenants never share one.
type key struct{ first, second uint64 }

// hasher makes keys: SipHash-2-4-128 of the id, under a secret that is drawn when the cache is made.
type hasher struct{ k0, k1 uint64 }

func newHasher() hasher {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails
	return hasher{binary.LittleEndian.Uint64(secret[:8]), binary.LittleEndian.Uint64(secret[8:])}
}

// of returns the key of a tenant's subject, and allocates nothing. The tenant's number isn't hashed but added, so that the id needn't be
// copied.
func (h hasher) of(tenant uint32, subject string) key {
	first, second := siphash.Hash128(h.k0, h.k1, unsafe.Slice(unsafe.StringData(subject), len(subject)))
	return key{first + uint64(tenant)<<32, second}
}

// place returns what ristretto knows the subject by. Its last byte chooses one of ristretto's 256 maps.
func (k key) place() uint64 { return k.first&^0xff | spread(k.second>>48) }

func spread(u uint64) uint64 { return (u + u*(1<<16-u)*11>>21) >> 8 }
