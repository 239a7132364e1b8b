// Package store holds the replicated state: the records in memory and the ledger on disk. It applies entries of commands in the order
// of a log that it knows nothing else of, takes snapshots and loads them. Equal entries applied in equal order make equal state.
package store
