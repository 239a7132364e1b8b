package store

import (
	"encoding/binary"

	"github.com/dchest/siphash"
)

// Pseudonymizer makes the pseudonyms of subjects under the cluster's secret key. It is safe for concurrent use.
type Pseudonymizer struct{ k0, k1 uint64 }

// NewPseudonymizer returns the pseudonymizer of a key.
func NewPseudonymizer(key [16]byte) Pseudonymizer {
	return Pseudonymizer{binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])}
}

// What is hashed of a tenant and an id of the usual length fits the stack.
const usualIDBytes = 512

// Of returns the pseudonym of a tenant's subject: SipHash-2-4-128 over tenant and id, each preceded by its length in eight bytes, so
// that ("a", "bc") and ("ab", "c") differ. It allocates nothing for tenants and ids of together 496 bytes.
func (p Pseudonymizer) Of(tenant, subject string) Key {
	var space [usualIDBytes]byte
	key, _ := p.of(appendTenant(space[:0], tenant), subject)
	return key
}

// AllOf fills in the pseudonyms of several subjects of a tenant, as many as there are keys.
func (p Pseudonymizer) AllOf(tenant string, subjects []string, keys []Key) {
	var space [usualIDBytes]byte
	text := appendTenant(space[:0], tenant)
	head := len(text)
	for i := range keys {
		keys[i], text = p.of(text[:head], subjects[i])
	}
}

func appendTenant(text []byte, tenant string) []byte {
	return append(binary.LittleEndian.AppendUint64(text, uint64(len(tenant))), tenant...)
}

// of returns the pseudonym of a subject, whose id it appends to what precedes it.
func (p Pseudonymizer) of(text []byte, subject string) (Key, []byte) {
	text = binary.LittleEndian.AppendUint64(text, uint64(len(subject)))
	text = append(text, subject...)
	high, low := siphash.Hash128(p.k0, p.k1, text)
	return Key{high, low}, text
}

// checkText is what the check value is made of. It can't be any subject's, because a tenant's length comes first there.
const checkText = "consentd pseudonym key check, version 1"

// CheckValue returns a value that tells keys apart and nothing about them. It is replicated, so that a replica with another key is
// found out before it answers.
func (p Pseudonymizer) CheckValue() [16]byte {
	var value [16]byte
	high, low := siphash.Hash128(p.k0, p.k1, []byte(checkText))
	binary.BigEndian.PutUint64(value[:8], high)
	binary.BigEndian.PutUint64(value[8:], low)
	return value
}
