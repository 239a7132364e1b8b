// Package cluster runs Raft around the store. A Node is one member: it holds the log, proposes writes, applies what is committed, takes
// snapshots, and proves how fresh its state is. It knows nothing of gRPC; what it needs of its peers it declares as interfaces.
//
// A cluster has one voter for now. Nothing here rests on there being only one: rounds ask peers behind an interface, the transport is
// made in one place, and a snapshot can be streamed to another replica.
package cluster
