// Package cluster runs Raft around the store. A Node is one member: it holds the log, proposes writes, applies what is committed, takes
// snapshots, and proves how fresh its state is. It knows nothing of gRPC; what it needs of its peers it declares as interfaces.
//
// New opens a replica's data directory, and Start has it found a cluster, alone or with others, or find the one it belongs to. Open is both,
// for a cluster of one.
package cluster
