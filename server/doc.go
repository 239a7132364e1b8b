// Package server answers the contract's RPCs over gRPC, on TCP and unix sockets at once, from whatever fulfils State, Records and
// Policies: the cluster's node on a replica; the SDK's near cache on a sidecar, which passes on to replicas what it can't answer.
//
// It is the door: requests are validated here, subject ids that are e-mail addresses brought into form, limits held, and every error
// given exactly one google.rpc.ErrorInfo. It knows no law and holds no state. DESIGN.md tells how calls flow, docs/errors.md lists the
// errors.
package server
