// Package client asks consentd from a Go program: may this purpose be pursued, for this subject, over this channel, now?
//
// A Client is dialed once and shared by all goroutines. Their checks travel together on one stream, or are answered from the process's own
// memory, see WithNearCache. A denial is an answer; not knowing is an error; the zero Answer denies, and Allowed is false on every error.
package client
