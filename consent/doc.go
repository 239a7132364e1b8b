// Package consent is the law: policies, events, the records they make, and decisions. It does no I/O, reads no clock, starts no
// goroutine and writes no log, so that every replica decides alike.
package consent
