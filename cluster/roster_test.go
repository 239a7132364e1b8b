package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// reports answers for members. Those it doesn't know can't be asked.
type reports map[string]*peerv1.ReportResponse

func (r reports) report(_ context.Context, of Peer) (*peerv1.ReportResponse, error) {
	if answer := r[of.ID]; answer != nil {
		return answer, nil
	}
	return nil, fmt.Errorf("%w: connection refused", consent.ErrUnreached)
}

// fine is the report of a healthy member of term 4 that has applied some entries.
func fine(applied uint64) *peerv1.ReportResponse {
	return &peerv1.ReportResponse{Term: 4, LastIndex: applied, Applied: applied, Ready: true, LastContactMs: 10}
}

// serversOf returns a configuration: voters, and learners with a trailing question mark.
func serversOf(ids ...string) []raft.Server {
	var servers []raft.Server
	for _, id := range ids {
		id, learner := strings.CutSuffix(id, "?")
		s := raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id + ":7444")}
		if learner {
			s.Suffrage = raft.Nonvoter
		}
		servers = append(servers, s)
	}
	return servers
}

func roll(tb testing.TB, answers reports, ids ...string) roster {
	tb.Helper()
	return callRoll(tb.Context(), serversOf(ids...), "n1", time.Second, answers.report)
}

func TestRosterHealth(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		report *peerv1.ReportResponse
		ill    string
	}{
		{"fine", fine(1000), ""},
		{"a little behind", fine(1000 - maxTrailing), ""},
		{"ahead, because it reported later", fine(1007), ""},
		{"behind", fine(999 - maxTrailing), "trails the leader by 257 entries"},
		{"can't be asked", nil, "can't be reached"},
		{"other term", &peerv1.ReportResponse{Term: 5, Applied: 1000, Ready: true}, "is at term 5 while the cluster is at 4"},
		{"silence", &peerv1.ReportResponse{Term: 4, Applied: 1000, Ready: true, LastContactMs: 1001}, "last heard of the leader 1.001s ago"},
		{"never heard", &peerv1.ReportResponse{Term: 4, Applied: 1000, Ready: true, LastContactMs: -1}, "has never heard of the leader"},
		{"not ready", &peerv1.ReportResponse{Term: 4, Applied: 1000}, "doesn't answer checks"},
		{"full", &peerv1.ReportResponse{Term: 4, Applied: 1000, Ready: true, StorageFull: true}, "refuses writes: its disk is nearly full"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := roll(t, reports{"n1": fine(1000), "n2": test.report}, "n2", "n1")
			if got := r.find("n2").ill; got != test.ill {
				t.Errorf("n2 %q, want %q", got, test.ill)
			}
			if r.members[0].ID != "n1" || r.term != 4 {
				t.Errorf("got %v at term %d, want n1 first and term 4", r.members, r.term)
			}
		})
	}
}

func TestRosterWithoutALeader(t *testing.T) {
	t.Parallel()
	late := fine(300)
	late.Term = 3
	r := callRoll(t.Context(), serversOf("n1", "n2"), "", time.Second, reports{"n1": fine(1000), "n2": late}.report)
	if r.term != 4 || r.find("n2").trails != 700 {
		t.Errorf("got term %d, n2 trailing by %d; want the newest term and the longest state, 4 and 700", r.term, r.find("n2").trails)
	}
}

// A member that doesn't answer delays the others' reports by no more than what one may take.
func TestRosterDoesNotWaitForTheDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := callRoll(t.Context(), serversOf("n1", "n2", "n3"), "n1", time.Second, func(ctx context.Context, of Peer) (*peerv1.ReportResponse, error) {
			if of.ID == "n1" {
				return fine(1), nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if took := time.Since(began); took != reportWait {
			t.Errorf("it took %s, want %s", took, reportWait)
		}
		if healthyOf(r.members) != 1 || r.find("n3").ill != "doesn't answer" {
			t.Errorf("got %v, want n1 alone healthy, and the others not answering", r.members)
		}
	})
}

func TestFailuresTolerated(t *testing.T) {
	t.Parallel()
	all := reports{"n1": fine(1), "n2": fine(1), "n3": fine(1), "n4": fine(1), "n5": fine(1)}
	for _, test := range []struct {
		ids  []string
		dead []string
		want int
	}{
		{[]string{"n1"}, nil, 0},
		{[]string{"n1", "n2"}, nil, 0},
		{[]string{"n1", "n2", "n3"}, nil, 1},
		{[]string{"n1", "n2", "n3"}, []string{"n2"}, 0},
		{[]string{"n1", "n2", "n3"}, []string{"n2", "n3"}, 0},
		{[]string{"n1", "n2", "n3", "n4"}, nil, 1},
		{[]string{"n1", "n2", "n3", "n4?"}, nil, 1},
		{[]string{"n1", "n2", "n3", "n4", "n5"}, nil, 2},
		{[]string{"n1", "n2", "n3", "n4", "n5"}, []string{"n4"}, 1},
	} {
		r := roll(t, without(all, test.dead), test.ids...)
		if got := r.failuresTolerated(); got != test.want {
			t.Errorf("%v without %v tolerate %d failures, want %d", test.ids, test.dead, got, test.want)
		}
	}
}

// A leader whose disk is full refuses writes however many others are well; a follower counts as one that has failed.
func TestFullDiskToleratesLess(t *testing.T) {
	t.Parallel()
	full := fine(1)
	full.StorageFull = true
	for id, want := range map[string]int{"n1": 0, "n2": 1} {
		all := reports{"n1": fine(1), "n2": fine(1), "n3": fine(1), "n4": fine(1), "n5": fine(1)}
		all[id] = full
		r := roll(t, all, "n1", "n2", "n3", "n4", "n5")
		if got := r.failuresTolerated(); got != want {
			t.Errorf("with the disk of %s full %d failures are tolerated, want %d", id, got, want)
		}
	}
}

func without(all reports, dead []string) reports {
	left := reports{}
	for id, r := range all {
		left[id] = r
	}
	for _, id := range dead {
		delete(left, id)
	}
	return left
}

func TestFitToVote(t *testing.T) {
	t.Parallel()
	all := reports{"n1": fine(1), "n2": fine(1), "n3": fine(1), "n4": fine(1), "n5": fine(1)}
	for _, test := range []struct {
		ids, dead []string
		removed   string
		fit       bool
	}{
		{[]string{"n1", "n2", "n3"}, nil, "n3", true},
		{[]string{"n1", "n2", "n3"}, []string{"n3"}, "n3", true},
		{[]string{"n1", "n2", "n3"}, []string{"n3"}, "n2", false},
		{[]string{"n1", "n2"}, nil, "n2", true},
		{[]string{"n1", "n2"}, []string{"n2"}, "n1", false},
		{[]string{"n1", "n2", "n3", "n4", "n5"}, []string{"n4", "n5"}, "n4", true},
		{[]string{"n1", "n2", "n3", "n4", "n5"}, []string{"n4", "n5"}, "n3", false},
		{[]string{"n1", "n2?"}, nil, "n1", false},
	} {
		r := roll(t, without(all, test.dead), test.ids...)
		err := fitToVote(r.voters(test.removed))
		if (err == nil) != test.fit || err != nil && !errors.Is(err, consent.ErrMembership) {
			t.Errorf("%v with %v dead, without %s: %v, want it fit: %t", test.ids, test.dead, test.removed, err, test.fit)
		}
	}
}

func TestFitToVoteSaysWhoIsIll(t *testing.T) {
	t.Parallel()
	r := roll(t, reports{"n1": fine(1), "n2": fine(1)}, "n1", "n2", "n3")
	want := "the members can't be changed so: of the 2 voters that this leaves, 1 would be healthy, and nothing can be written with less " +
		"than 2 (n3 can't be reached): mend or remove those that aren't first"
	if diff := cmp.Diff(want, fitToVote(r.voters("n2")).Error()); diff != "" {
		t.Errorf("the refusal (-want +got):\n%s", diff)
	}
}

func TestSuccessor(t *testing.T) {
	t.Parallel()
	idle := fine(1000)
	idle.Ready = false
	r := roll(t, reports{"n1": fine(1000), "n2": fine(990), "n3": fine(995), "n4": idle, "n5": fine(1000)}, "n1", "n2", "n3", "n4", "n5?")
	next, err := r.successor()
	if err != nil || next.ID != "n3" {
		t.Errorf("got %v, %v; want n3, which is healthy, votes, and has the newest log", next, err)
	}
	r = roll(t, reports{"n1": fine(1000), "n2": fine(1000), "n4": idle}, "n1", "n2?", "n4")
	if next, err := r.successor(); !errors.Is(err, consent.ErrMembership) || !strings.Contains(err.Error(), "n4 doesn't answer checks") {
		t.Errorf("got %v, %v; want a refusal that says why it can't be n4", next, err)
	}
}
