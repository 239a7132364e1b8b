// Package consentd is the front page of the module: it holds no code.
//
// consentd answers whether a purpose may be pursued for a data subject over a channel, right now, and why. Everything is denied
// unless a rule of the tenant's policy allows it, and an answer that can't be given is an error, never a "yes".
//
// The rooms, and who may know whom:
//
//	proto/consent/v1   the contract and its generated code; knows nobody
//	consent            the law: policy, event, record, decision; pure, knows nobody
//	store              the replicated state: records in memory, ledger on disk
//	cluster            Raft around the store
//	cache              a bounded cache that is never staler than promised
//	client             the Go SDK
//	server             the gRPC services
//	bench              benchmarks, the load generator and its report
//	cmd/consentd       flags and wiring
//
// The tests of this package hold the walls between them.
package consentd
