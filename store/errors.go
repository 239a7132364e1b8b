package store

import (
	"errors"
	"fmt"

	"github.com/consentd/consentd/consent"
)

var (
	// ErrClosed is returned by what is called after Close.
	ErrClosed = errors.New("the store is closed")
	// ErrEntry is returned by Apply for an entry that this version can't have written or can't read. Going on would make replicas differ.
	ErrEntry = errors.New("the log entry can't be applied")
	// ErrLedger is returned when what the ledger holds can't be: after damage, or when a later version wrote it.
	ErrLedger = errors.New("the ledger can't be read")
	// ErrFormat is returned, beside ErrLedger, when another version of consentd wrote the ledger or the snapshot.
	ErrFormat = errors.New("another version of consentd wrote it: run that one")
	// ErrSnapshot is returned by Restore for a stream that isn't a whole, unaltered snapshot, and is, with consent.ErrBackup, the result of
	// a restore that has brought one. What was there before stays.
	ErrSnapshot = errors.New("it is damaged or cut short: take another copy of it")
	// ErrNotEmpty is the result of the first step of a restore that isn't to replace anything.
	ErrNotEmpty = fmt.Errorf("%w: the cluster holds tenants already: say --replace to have the backup take their place", consent.ErrBackup)
	// ErrRestoring is the result of what would change a state that is about to be replaced.
	ErrRestoring = fmt.Errorf("%w: a backup is being restored", consent.ErrNotWritten)
	// ErrRestoreEnded is the result of a step of a restore that isn't on its way any more.
	ErrRestoreEnded = fmt.Errorf("%w: the restore was interrupted, and has changed nothing: restore again", consent.ErrBackup)
	// ErrRestored is returned for records asked for by a tenant from before a backup was restored, whose numbers mean something else.
	ErrRestored = fmt.Errorf("%w: a backup was restored meanwhile", consent.ErrNotReady)
	// ErrPseudonymKey is the result of a term start whose check value is that of another pseudonym key.
	ErrPseudonymKey = errors.New("the pseudonym key isn't the cluster's: copy the key file from a replica that runs")
	// ErrTooManyTenants is the result of a command for one more tenant than records can tell apart.
	ErrTooManyTenants = errors.New("there are 4,194,303 tenants, which is all there can be: use another cluster for more")
	// ErrMemberID is the result of a wish about a member whose id isn't one.
	ErrMemberID = errors.New("a member's id has 1 to 64 bytes")
	// ErrTooManyMembers is the result of a wish about one more member than are remembered.
	ErrTooManyMembers = errors.New("1,024 members are remembered, which is all there can be: remove those that are gone")
	// ErrRequestID is the result of a write without a request id, or with one that isn't a UUIDv7.
	ErrRequestID = errors.New("the request id isn't a UUIDv7: let the client library make one")
)
