package cluster

import "testing"

// A replica that founded a cluster of its own because it wasn't told to join one stays there, and says so when it is told.
func TestMemberToldToJoinAnotherCluster(t *testing.T) {
	s, _ := foundThree(t)
	stray := s.build("d", 0)
	stray.start()
	stray.wantReady()
	own := stray.node.dir.standing().clusterID
	stray.stop()
	stray.o.Join = []string{"api-a", "api-d"}
	stray.start()
	stray.wantReady()
	stray.wantLog("level=WARN msg=\"a replica that this one is to join belongs to another cluster")
	stray.wantLog("cluster=" + own + " other=\"a (api-a)\"")
	stray.wantMembers(stray.voter())
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
