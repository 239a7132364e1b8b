// Package cache holds records of subjects beside an application, never staler than promised. It is told what changed by whoever reads a
// stream of changes, asks for what it doesn't have, and answers with a record only if that is exactly the one of the state that it was told of.
package cache
