package server

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/consentd/consentd/consent"
)

// behindOne is the test whose subtests talk to a sidecar.
const behindOne = "TestThroughASidecar"

// behindASidecar reports whether a rig's server is to be a sidecar, with another server for a replica.
func behindASidecar(t *testing.T) bool {
	t.Helper()
	return strings.HasPrefix(t.Name(), behindOne+"/")
}

// nearMemory holds a part of the state.
type nearMemory struct {
	State
	mu    sync.Mutex
	held  func(subject string) bool // nil: what was asked for before
	seen  map[string]bool
	fetch func() // before what isn't held is here
}

func (n *nearMemory) Look(ctx context.Context, t *consent.Tenant, subject string) (consent.View, consent.Record, error) {
	if n.fetch != nil && !n.held(subject) {
		n.fetch()
	}
	record, err := n.Record(ctx, t, subject, nil)
	if err != nil {
		return consent.View{}, nil, err
	}
	view, err := n.View(ctx, consent.Consistency{})
	return view, record, err
}

func (n *nearMemory) Held(t *consent.Tenant, subject string) (consent.View, consent.Record, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held := n.seen[subject]
	if n.held != nil {
		held = n.held(subject)
	}
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	n.seen[subject] = true
	if !held {
		return consent.View{}, nil, false
	}
	record, err := n.Record(context.Background(), t, subject, nil)
	if err != nil {
		return consent.View{}, nil, false
	}
	view, err := n.View(context.Background(), consent.Consistency{})
	return view, record, err == nil
}

// TestThroughASidecar has tests of a server talk to a sidecar instead: callers can't tell which it is.
func TestThroughASidecar(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"Check": TestCheck, "CacheForEndsWithTheAnswer": TestCacheForEndsWithTheAnswer, "NotKnowingIsAnError": TestNotKnowingIsAnError,
		"BatchCheck": TestBatchCheck, "BatchSimilarGoods": TestBatchSimilarGoods, "BatchLimits": TestBatchLimits,
		"Explain": TestExplain, "SupposedEvents": TestSupposedEventsFoldLikeWrittenOnes, "UnknownPermission": TestUnknownPermissionNamesOnlyNames,
		"DrainEndsStreams": TestDrainEndsStreamsAndFinishesCalls, "DrainIsBounded": TestDrainIsBounded, "Health": TestHealthFollowsReady,
		"Reflection": TestReflection, "Limits": TestLimits, "Streams": TestStreamsOfAConnectionAreBounded, "Shedding": TestShedding,
		"UnknownMethod": TestUnknownMethod, "SlowCalls": TestSlowCallsAreLogged,
		"CheckSegment": TestCheckSegment, "PackedIDs": TestPackedIDsNeedNotBeText, "CheckSegmentRefuses": TestCheckSegmentRefuses,
		"StreamCheck": TestStreamCheck, "AnswersOvertake": TestAnswersOvertake, "WaitersDontBlock": TestWaitersDontBlock,
		"Panics":      TestPanicsAreOneCalls,
		"Garbage":     TestGarbageIsTheCallersMistake,
		"WriteEvents": TestWriteEvents, "ValidateOnly": TestValidateOnlyWritesNothing, "WriteEventsRefuses": TestWriteEventsRefuses,
		"YesNeedsADeclaredPermission": TestYesNeedsADeclaredPermission, "NoIsNeverRefused": TestNoIsNeverRefused, "WriteErrors": TestWriteErrors,
		"RecordUses": TestRecordUses, "GetRecord": TestGetRecord, "ListEvents": TestListEvents,
		"ImportEvents": TestImportEvents, "ImportPacks": TestImportPacksRows, "ImportRejects": TestImportRejectsRowsNotImports,
		"ImportOfTheFuture": TestImportOfTheFuture, "ImportValidateOnly": TestImportValidateOnly, "ImportRefuses": TestImportRefuses,
		"ImportEnds": TestImportEndsAtWhatItCantWrite, "ImportRepeats": TestImportRepeatsWhatMayHaveHappened,
		"ImportDivides": TestImportDividesWhatIsRefused,
		"PutPolicy":     TestPutPolicy, "Flips": TestFlips, "Policies": TestGetAndListPolicies,
		"EveryError": TestEveryErrorHasOneInfo, "EveryDoor": TestEveryCallPassesTheDoor,
		"ClusterCalls": TestClusterCallsReachTheBackend, "ClusterRefuses": TestClusterCallsRefuse, "ClusterErrors": TestClusterErrorsSpeak,
		"WatchingIsNoLoad": TestWatchingIsNoLoad, "StaleSays": TestStaleSaysWhatIsReached, "BackUps": TestBackUpsComeBackAsTheyWent, "InterruptedBackUp": TestAnInterruptedBackUpIsAnError,
		"DrainCutsARestore": TestDrainCutsARestoreThatIsSent, "DrainFinishesARestore": TestDrainFinishesARestore,
		"RestoreFails": TestARestoreFailsWithItsReader,
		"LooksAgain":   TestWritesLookAgain, "FormOfIDs": TestTheFormOfIDsIsTheNewestPolicys,
	} {
		t.Run(name, test)
	}
}
