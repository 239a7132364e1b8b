package cluster

import "testing"

// A directory of another cluster doesn't serve beside the cluster that its replica is to join, be it under the name of one of its members.
func TestForeignDirectory(t *testing.T) {
	s, all := foundThree(t)
	for _, id := range []string{"d", "a"} {
		stray := newStreet(t).build(id, 0)
		stray.o.PseudonymKeyFile = s.key
		stray.start()
		stray.wantReady()
		own := stray.node.dir.standing().clusterID
		stray.stop()

		moved := s.build("stray", 0, "nobody", "a", "b", "stray")
		moved.o.NodeID, moved.fs = id, stray.fs
		moved.start()
		moved.wantRefused(ErrDataDir, "of cluster "+own, "at api-", "belongs to cluster "+all[0].node.dir.standing().clusterID,
			"move the directory away", "own cluster")
		moved.stop()
	}
}

// Several voters are no better in the wrong place than one, as long as none of their cluster is there.
func TestForeignDirectoryOfSeveral(t *testing.T) {
	s, all := foundThree(t)
	other := s.build("other", 0)
	other.start()
	other.wantReady()
	all[0].stop()
	all[0].o.Join = []string{"api-other", "api-nobody", "api-a"}
	all[0].start()
	all[0].wantRefused(ErrDataDir, "move the directory away")
}

// One wrong address among right ones, or none that answers, keeps no member from starting.
func TestMemberWithAWrongAddress(t *testing.T) {
	s, all := foundThree(t)
	other := s.build("other", 0)
	other.start()
	other.wantReady()
	all[0].stop()
	all[0].o.Join = []string{"api-other", "api-a", "api-nobody", "api-b"}
	all[0].start()
	all[0].wantReady()
	all[0].wantLog("level=WARN msg=\"a replica that this one is to join belongs to another cluster")
	all[0].wantLog("other=\"other (api-other)\"")
	other.stop()
	other.o.Join = []string{"api-nobody", "api-other"}
	other.start()
	other.wantReady()
}

// A cluster of one grows by replicas that all are given the addresses of all, also where it is started again meanwhile.
func TestClusterOfOneToldToJoinThoseThatJoin(t *testing.T) {
	s := newStreet(t)
	first := s.build("a", 0)
	first.start()
	first.wantReady()
	first.stop()
	first.o.Join = []string{"api-a", "api-b"}
	second := s.build("b", 0, "a", "b")
	second.start()
	first.start()
	first.wantReady()
	second.wantReady()
	first.stop()
	first.start()
	first.wantReady()
}

func TestVoterToldToBeALearner(t *testing.T) {
	_, all := foundThree(t)
	all[0].stop()
	all[0].o.Learner = true
	all[0].start()
	all[0].wantReady()
	all[0].wantLog("consentd cluster demote a")
	all[0].wantMembers(all[0].voter(), all[1].voter(), all[2].voter())
}

// The same options are right for a learner that is there before the cluster is.
func TestLearnerDoesntFound(t *testing.T) {
	s := newStreet(t)
	learner := s.build("0", 3, "0", "a", "b", "c")
	learner.o.Learner = true
	learner.start()
	all := s.buildAll("a", "b", "c")
	for _, h := range all {
		h.o.Join = append(h.o.Join, "api-0")
		h.start()
	}
	learner.wantReady()
	all[0].wantReady()
	all[0].wantMembers(all[0].voter(), all[1].voter(), all[2].voter(), learner.learner())
}
