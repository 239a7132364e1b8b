package cluster

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/consentd/consentd/consent"
)

// foundThree returns three replicas that have founded a cluster, with a writing of anna's in it.
func foundThree(t *testing.T) (s *street, all []*house) {
	t.Helper()
	s = newStreet(t)
	all = s.buildAll("a", "b", "c")
	for _, h := range all {
		h.start()
	}
	for _, h := range all {
		h.wantReady()
	}
	mustWrite(t, all[0].node, grant(t, "anna"))
	return s, all
}

// wantAnna waits until the replica is ready and has what was written in the cluster before it came.
func (h *house) wantAnna(t *testing.T) {
	t.Helper()
	h.wantReady()
	waitFor(t, "what was written before", func() bool { return h.node.store.Head().Tenants["shop"] != nil })
	if events := historyOf(t, h.node, "anna"); len(events) != 1 {
		t.Errorf("%s has %d events of anna", h.id, len(events))
	}
}

func TestFourthJoinsWithTheSameOptions(t *testing.T) {
	s, all := foundThree(t)
	fourth := s.build("d", 3, "a", "b", "c")
	learner := s.build("l", 3, "a", "b", "c")
	learner.o.Learner = true
	for _, h := range []*house{fourth, learner} {
		h.start()
		h.wantAnna(t)
	}
	fourth.wantMembers(all[0].voter(), all[1].voter(), all[2].voter(), fourth.voter(), learner.learner())
	for _, h := range []*house{fourth, learner} { // what joins a cluster doesn't join it again
		h.stop()
		h.start()
		h.wantAnna(t)
		if strings.Count(h.log.String(), "was taken into a cluster") != 1 {
			t.Errorf("%s was taken in again:\n%s", h.id, h.log)
		}
	}
}

func TestJoinByHand(t *testing.T) {
	s, all := foundThree(t)
	fourth := s.build("d", 3)
	fourth.start()
	fourth.wantLog("or to be told by 'consentd cluster join' where one is")
	_, err := fourth.node.Join(t.Context(), []string{"api-x"})
	wantError(t, err, consent.ErrNoLeader, "no member of a cluster answers at api-x; x: connection refused")
	clusterID, err := fourth.node.Join(t.Context(), []string{"api-x", "api-b"})
	if want := all[0].node.dir.standing().clusterID; err != nil || clusterID != want {
		t.Fatalf("joined %q, %v, want %q", clusterID, err, want)
	}
	fourth.wantAnna(t)
	if again, err := fourth.node.Join(t.Context(), []string{"api-c"}); err != nil || again != clusterID {
		t.Errorf("the second time: %q, %v", again, err)
	}
	single := s.build("s", 0)
	single.start()
	single.wantReady()
	_, err = single.node.Join(t.Context(), []string{"api-c"})
	wantError(t, err, consent.ErrMembership, "s belongs to cluster "+single.node.dir.standing().clusterID, "empty data directory")
}

func TestReplicasThatArentTakenIn(t *testing.T) {
	s, all := foundThree(t)
	another := filepath.Join(t.TempDir(), "another.key")
	if err := NewKeyFile(another); err != nil {
		t.Fatal(err)
	}
	stranger := s.build("d", 0, "a")
	stranger.o.PseudonymKeyFile = another
	stranger.start()

	wiped := all[2]
	wiped.stop()
	wiped.wipe()
	wiped.start()

	double := s.build("x", 0, "a", "c")
	double.o.NodeID = "b"
	double.start()
	stranger.wantRefused(ErrForming, "d has another pseudonym key than the cluster: copy "+s.key+" of a to")
	wiped.wantRefused(ErrForming, "c is a voter, and the replica at "+wiped.wire.Address()+" that calls itself so has an empty data directory")
	double.wantRefused(ErrForming, "two replicas call themselves b: the one at "+all[1].wire.Address()+" belongs to the cluster")
	all[0].wantMembers(all[0].voter(), all[1].voter(), wiped.voter())
}

// A learner that has lost its disk is welcome: it has never voted.
func TestWipedLearnerComesBack(t *testing.T) {
	s, _ := foundThree(t)
	learner := s.build("l", 0, "a", "b", "c")
	learner.o.Learner = true
	learner.start()
	learner.wantAnna(t)
	learner.stop()
	learner.wipe()
	learner.start()
	learner.wantAnna(t)
}

func TestMemberMoves(t *testing.T) {
	_, all := foundThree(t)
	for _, moving := range all { // one of them leads
		moving.stop()
		was := moving.wire.Address()
		taken, err := net.Listen("tcp", was) // so that the system doesn't give the same port again
		if err != nil {
			t.Fatal(err)
		}
		moving.openAt("127.0.0.1:0")
		if err := taken.Close(); err != nil {
			t.Fatal(err)
		}
		moving.run()
		moving.wantReady()
		for _, h := range all {
			h.wantMembers(all[0].voter(), all[1].voter(), all[2].voter())
		}
	}
}

// A cluster of one whose replica had no port for peers takes in others once it has one.
func TestClusterOfOneGrows(t *testing.T) {
	s := newStreet(t)
	first := s.build("a", 0)
	alone := first.o
	alone.FS = first.fs
	n := openNode(t, alone)
	mustWrite(t, n, grant(t, "anna"))
	closeNode(t, n)

	second := s.build("b", 0, "a", "b")
	second.start()
	second.wantLog("waiting for a replica that belongs to a cluster")
	first.start()
	for _, h := range []*house{first, second} {
		h.wantAnna(t)
		h.wantMembers(first.voter(), second.voter())
	}
	second.stop() // and back, which takes both
	first.stop()
	o := first.o
	o.Wire, o.Peers, o.FS = nil, nil, first.fs
	_, err := Open(t.Context(), o)
	wantError(t, err, ErrForming, "a belongs to a cluster of 2", "--raft-listen")
}

func TestRemovedReplicaEnds(t *testing.T) {
	_, all := foundThree(t)
	removed := all[2]
	removed.stop()
	if err := all[0].node.RemoveMember(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	term := all[0].node.raft.CurrentTerm()
	removed.start()
	removed.wantStarted()
	wantFailure(t, removed.node, "has removed c")
	removed.wantLog("start it with an empty data directory: it comes in as a new replica")
	if now := all[0].node.raft.CurrentTerm(); now != term {
		t.Errorf("the others went from term %d to %d", term, now)
	}
	all[0].wantMembers(all[0].voter(), all[1].voter())
}

// Joining goes on while the cluster has no leader.
func TestJoiningOutlastsAnElection(t *testing.T) {
	s, all := foundThree(t)
	all[1].stop()
	all[2].stop()
	fourth := s.build("d", 3, "a", "b", "c")
	fourth.start()
	fourth.wantLog("waiting to be taken into cluster")
	all[1].start()
	fourth.wantAnna(t)
}

// A joining replica that has received nothing yet may come back anywhere, with what it had.
func TestJoiningReplicaMoves(t *testing.T) {
	s, all := foundThree(t)
	fourth := s.build("d", 3, "a", "b", "c")
	fourth.start()
	fourth.wantStarted()
	fourth.stop()
	fourth.fs = vfs.NewCrashableMem()
	d, err := openDataDir(fourth.fs, "data", "d")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.bind(all[0].node.dir.standing().clusterID, ""); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	fourth.openAt("127.0.0.1:0")
	fourth.run()
	fourth.wantAnna(t)
}
