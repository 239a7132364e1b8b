package cache

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/dchest/siphash"

	"github.com/consentd/consentd/consent"
)

// key stands for a subject of a tenant within this process: SipHash-2-4-128 under a key that is drawn when the cache is made, so that nobody
// outside can choose two subjects that share one.
type key struct{ first, second uint64 }

// check returns what tells the subject's entry of an epoch from all others under the key's first word.
func (k key) check(epoch uint64) uint64 { return k.second ^ epoch }

// hasher makes keys.
type hasher struct{ k0, k1 uint64 }

func newHasher() hasher {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails
	return hasher{binary.LittleEndian.Uint64(secret[:8]), binary.LittleEndian.Uint64(secret[8:])}
}

// The number of a tenant takes as many bytes whatever it is, so no two pairs of tenant and subject are one text.
const tenantBytes = 4

// of returns the key of a tenant's subject. It allocates nothing for an id that the door lets in.
func (h hasher) of(tenant uint32, subject string) key {
	var space [tenantBytes + consent.MaxSubjectBytes]byte
	text := append(binary.LittleEndian.AppendUint32(space[:0], tenant), subject...)
	first, second := siphash.Hash128(h.k0, h.k1, text)
	return key{first, second}
}
