package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

func TestThreeFoundACluster(t *testing.T) {
	s := newStreet(t)
	all := s.buildAll("a", "b", "c")
	all[1].start()
	all[1].wantLog("waiting for 2 of 3 expected replicas")
	all[0].start()
	all[2].start()
	for _, h := range all {
		h.wantReady()
		h.wantMembers(all[0].voter(), all[1].voter(), all[2].voter())
		if got, want := h.node.dir.standing(), all[0].node.dir.standing(); got != want || got.state != stateMember {
			t.Errorf("%s is %+v, and a is %+v", h.id, got, want)
		}
	}
	write := grant(t, "anna")
	result := mustWrite(t, all[2].node, write)
	for _, h := range all {
		h.stop()
	}
	for _, h := range all { // with the options that founded the cluster
		h.start()
	}
	for _, h := range all {
		h.wantReady()
		if again := mustWrite(t, h.node, write); again.Revision != result.Revision {
			t.Errorf("%s wrote again, at %v", h.id, again.Revision)
		}
	}
}

// A founder that dies before the cluster is there goes on when it comes back, and those who have promised wait for it.
func TestFounderComesBack(t *testing.T) {
	s := newStreet(t)
	all := s.buildAll("a", "b", "c")
	all[1].start()
	all[2].open() // can promise, and doesn't see that the others could do without a
	clusterID := "01234567-89ab-4def-8123-456789abcdef"
	founder := all[0]
	founder.open()
	if err := founder.node.dir.bind(clusterID, "a"); err != nil {
		t.Fatal(err)
	}
	check := founder.node.door.CheckValue()
	promise := &peerv1.PromiseRequest{FounderId: "a", ClusterId: clusterID, KeyCheck: check[:]}
	if err := all[1].node.Promise(t.Context(), promise); err != nil {
		t.Fatal(err)
	}
	founder.stop()
	all[1].wantStarted()
	all[1].wantLog("waiting for a, which founds the cluster")
	all[1].stop()
	all[1].start() // remembers what it has promised

	another := &peerv1.PromiseRequest{FounderId: "c", ClusterId: "11234567-89ab-4def-8123-456789abcdef", KeyCheck: check[:]}
	wantError(t, all[1].node.Promise(t.Context(), another), consent.ErrMembership, "b is bound to cluster "+clusterID+", which a founds")
	founder.start()
	all[2].run()
	for _, h := range all {
		h.wantReady()
		if got := h.node.dir.standing().clusterID; got != clusterID {
			t.Errorf("%s is in cluster %s", h.id, got)
		}
	}
}

func TestReplicasThatCantFoundACluster(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(s *street, a, b *house)
		want    error
		says    []string // of both
	}{
		{"of one name", func(s *street, a, b *house) {
			b.o.NodeID = "a"
		}, ErrForming, []string{"two replicas call themselves a"}},
		{"that expect different numbers", func(s *street, a, b *house) {
			a.o.BootstrapExpect, b.o.BootstrapExpect = 2, 3
			b.o.Join = append(b.o.Join, "api-c")
		}, ErrForming, []string{"(api-", "expects 2", "3", "the same --bootstrap-expect"}},
		{"of which there are too many", func(s *street, a, b *house) {
			a.o.Join, b.o.Join = []string{"api-a", "api-b", "api-c"}, []string{"api-a", "api-b", "api-c"}
			s.build("c", 2, "c").open()
		}, ErrForming, []string{"2 replicas are expected, and there are 3 new ones", "(api-c)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStreet(t)
			all := s.buildAll("a", "b")
			tt.prepare(s, all[0], all[1])
			for _, h := range all {
				h.open()
			}
			for _, h := range all {
				h.run()
			}
			for _, h := range all {
				h.wantRefused(tt.want, tt.says...)
			}
		})
	}
}

func TestFoundingNeedsOneKey(t *testing.T) {
	s := newStreet(t)
	all := s.buildAll("a", "b")
	all[1].o.PseudonymKeyFile = filepath.Join(t.TempDir(), "another.key")
	wantMissing := func() {
		t.Helper()
		o := all[1].o
		o.FS = all[1].fs
		o.Wire, o.Peers = &Wire{address: "127.0.0.1:1"}, &neighbours{s, "b"}
		_, err := New(o)
		wantError(t, err, ErrPseudonymKey, "another.key is missing", "consentd keys new")
	}
	wantMissing()
	if err := NewKeyFile(all[1].o.PseudonymKeyFile); err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		h.start()
	}
	for _, h := range all[:1] {
		h.wantLog("b has another pseudonym key than a: copy the key file of a to " + all[1].o.PseudonymKeyFile)
	}
	all[1].stop()
	all[1].o.PseudonymKeyFile = s.key // as the message says
	all[1].start()
	for _, h := range all {
		h.wantReady()
	}
}

func TestCensus(t *testing.T) {
	const (
		isNew     = peerv1.NodeState_NODE_STATE_NEW
		isJoining = peerv1.NodeState_NODE_STATE_JOINING
		isMember  = peerv1.NodeState_NODE_STATE_MEMBER
	)
	who := func(id string, state peerv1.NodeState, expect uint32, cluster, founder string) sighting {
		return sighting{api: "api-" + id, IntroduceResponse: &peerv1.IntroduceResponse{
			NodeId: id, Address: "address-" + id, State: state, BootstrapExpect: expect, ClusterId: cluster, FounderId: founder,
			Instance: []byte(id),
		}}
	}
	newcomer := func(id string) sighting { return who(id, isNew, 3, "", "") }
	clone := func(s sighting, instance, address string) sighting {
		c := who(s.GetNodeId(), s.GetState(), s.GetBootstrapExpect(), s.GetClusterId(), s.GetFounderId())
		c.Instance, c.Address = []byte(instance), address
		return c
	}
	silent := sighting{api: "api-x", err: errors.New("api-x: connection refused")}
	b := newcomer("b").IntroduceResponse
	founder := who("b", isJoining, 3, "C", "b").IntroduceResponse
	tests := []struct {
		name    string
		self    *peerv1.IntroduceResponse
		answers []sighting
		want    string // "found", "join" or "wait" and of whom or what; or a part of the error
	}{
		{"nobody", b, []sighting{silent}, "wait waiting for 2 of 3 expected replicas"},
		{"itself", b, []sighting{newcomer("b"), silent}, "wait waiting for 2 of 3 expected replicas"},
		{"its double", b, []sighting{clone(newcomer("b"), "other", "z")}, "two replicas call themselves b"},
		{"one other at two addresses", b, []sighting{newcomer("c"), newcomer("c")}, "wait waiting for 1 of 3 expected replicas"},
		{"enough, and it is the first", b, []sighting{newcomer("d"), newcomer("c")}, "found c d"},
		{"enough, and another is the first", b, []sighting{newcomer("a"), newcomer("c")}, "wait waiting for a (api-a) to found the cluster"},
		{"two of one name", b, []sighting{newcomer("c"), clone(newcomer("c"), "other", "z")}, "wait waiting until only one of c (api-c) and c"},
		{"two of one address", b, []sighting{newcomer("c"), clone(newcomer("d"), "d", "address-c")}, "has the address address-c"},
		{"one with its address", b, []sighting{newcomer("c"), clone(newcomer("d"), "d", "address-b")}, "has the address address-b"},
		{"too many", b, []sighting{newcomer("c"), newcomer("d"), newcomer("e")}, "there are 4 new ones: b, c (api-c), d (api-d), e (api-e)"},
		{"one that expects another number", b, []sighting{who("c", isNew, 5, "", "")}, "b expects 3 replicas, and c (api-c) expects 5"},
		{"one that only joins", b, []sighting{who("c", isNew, 0, "", ""), newcomer("d")}, "wait waiting for 1 of 3 expected replicas"},
		{"a member", b, []sighting{newcomer("c"), newcomer("d"), who("e", isMember, 3, "C", "")}, "join e"},
		{"members of two clusters", b, []sighting{who("d", isMember, 3, "C", ""), who("e", isMember, 3, "D", "")},
			"name addresses of one cluster"},
		{"some that have promised", b, []sighting{who("a", isJoining, 3, "C", "a"), who("c", isJoining, 3, "C", "a")},
			"wait waiting for the cluster that a is founding"},
		{"some that wait for what it was", b, []sighting{who("c", isJoining, 3, "C", "b")}, "before its data directory was emptied"},

		{"as founder, new ones", founder, []sighting{newcomer("c"), newcomer("a")}, "found a c"},
		{"as founder, one has promised", founder, []sighting{newcomer("c"), who("a", isJoining, 3, "C", "b")}, "found a c"},
		{"as founder, one is missing", founder, []sighting{who("a", isJoining, 3, "C", "b"), silent},
			"wait waiting for 1 of 3 expected replicas"},
		{"as founder, all have promised, and one more is new", founder,
			[]sighting{who("a", isJoining, 3, "C", "b"), newcomer("c"), who("d", isJoining, 3, "C", "b")}, "found a d"},
		{"as founder, more are new than are missing", founder,
			[]sighting{who("a", isJoining, 3, "C", "b"), newcomer("c"), newcomer("d")}, "there are 4 new ones"},
		{"as founder, one is bound elsewhere", founder, []sighting{who("a", isJoining, 3, "D", "x"), newcomer("c")},
			"wait waiting for 1 of 3 expected replicas"},
		{"as founder, a cluster is there", founder, []sighting{who("a", isMember, 3, "D", "")}, "start b with an empty data directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := nextStep(tt.self, tt.answers)
			if err != nil {
				got = err.Error()
			}
			if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) && !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func nextStep(self *peerv1.IntroduceResponse, answers []sighting) (string, error) {
	c, err := newCensus(self, answers)
	if err != nil {
		return "", err
	}
	next := c.nextOfNew
	if self.GetFounderId() == self.GetNodeId() {
		next = c.nextOfFounder
	}
	s, err := next(int(self.GetBootstrapExpect()))
	if err != nil {
		return "", err
	}
	ids := func(of []sighting) (all string) {
		for _, o := range of {
			all += " " + o.GetNodeId()
		}
		return all
	}
	switch {
	case len(s.found) > 0:
		return "found" + ids(s.found), nil
	case len(s.join) > 0:
		return "join" + ids(s.join), nil
	default:
		return fmt.Sprint("wait ", s.wait), nil
	}
}
