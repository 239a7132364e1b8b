// Package rivals measures consentd beside other people's servers and libraries: see README.md. It is a module of its own, so that none of them
// becomes a dependency of those who import consentd.
package rivals
