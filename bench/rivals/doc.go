// Package rivals measures consentd beside other people's libraries. It is a module of its own, so that none of them becomes a dependency of
// those who import consentd.
package rivals
