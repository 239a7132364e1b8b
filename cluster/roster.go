package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/hashicorp/raft"
)

// roster is who belongs to the cluster and how they are, as one replica finds out at one moment.
type roster struct {
	leader  string   // its id; empty if none is known
	term    uint64   // the leader's, or the newest that anybody tells of
	members []member // sorted by id
}

// member is one of the roster.
type member struct {
	Peer
	voter  bool
	report *peerv1.ReportResponse // nil if it couldn't be asked
	trails uint64                 // by how many entries of the log it has applied less than the leader
	ill    string                 // why it isn't healthy, as the end of a sentence about it; empty if it is
}

// maxTrailing is by how many entries a healthy member trails the leader at most. An entry takes a millisecond or longer, so it catches up
// within moments.
const maxTrailing = 256

// reportWait is how long a member may take to report. All are asked at once, so it is also how long a dead one delays a roster.
const reportWait = 500 * time.Millisecond

// callRoll asks all members at once for their reports. A member that hasn't heard of the leader for longer than silence isn't healthy.
func callRoll(
	ctx context.Context, servers []raft.Server, leader string, silence time.Duration,
	report func(context.Context, Peer) (*peerv1.ReportResponse, error),
) roster {
	ctx, cancel := context.WithTimeout(ctx, reportWait)
	defer cancel()
	r := roster{leader: leader, members: make([]member, len(servers))}
	var asked sync.WaitGroup
	for i, s := range servers {
		m := &r.members[i]
		*m = member{Peer: Peer{ID: string(s.ID), Address: string(s.Address)}, voter: s.Suffrage == raft.Voter}
		asked.Go(func() {
			var err error
			if m.report, err = report(ctx, m.Peer); err != nil {
				m.report, m.ill = nil, unasked(ctx, err)
			}
		})
	}
	asked.Wait()
	slices.SortFunc(r.members, func(a, b member) int { return cmp.Compare(a.ID, b.ID) })
	r.judge(silence)
	return r
}

// unasked says why a member has made no report.
func unasked(ctx context.Context, err error) string {
	switch {
	case errors.Is(err, consent.ErrUnreached):
		return "can't be reached"
	case ctx.Err() != nil:
		return "doesn't answer"
	default:
		return fmt.Sprintf("can't be asked (%s)", err)
	}
}

// judge finds the term, and who isn't healthy.
func (r *roster) judge(silence time.Duration) {
	var applied uint64
	for _, m := range r.members {
		r.term, applied = max(r.term, m.report.GetTerm()), max(applied, m.report.GetApplied())
	}
	if leader := r.find(r.leader); leader != nil && leader.report != nil {
		r.term, applied = leader.report.GetTerm(), leader.report.GetApplied()
	}
	for i := range r.members {
		m := &r.members[i]
		if m.report == nil {
			continue
		}
		m.trails = applied - min(applied, m.report.GetApplied())
		m.ill = m.illness(r.term, silence)
	}
}

func (m *member) illness(term uint64, silence time.Duration) string {
	unheard := time.Duration(m.report.GetLastContactMs()) * time.Millisecond
	switch {
	case m.report.GetTerm() != term:
		return fmt.Sprintf("is at term %d while the cluster is at %d", m.report.GetTerm(), term)
	case unheard < 0:
		return "has never heard of the leader"
	case unheard > silence:
		return fmt.Sprintf("last heard of the leader %s ago", unheard)
	case m.trails > maxTrailing:
		return fmt.Sprintf("trails the leader by %d entries", m.trails)
	case !m.report.GetReady():
		return "doesn't answer checks"
	case m.report.GetStorageFull():
		return "refuses writes: its disk is nearly full"
	}
	return ""
}

// find returns the member of that id, or nil.
func (r *roster) find(id string) *member {
	i := slices.IndexFunc(r.members, func(m member) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return &r.members[i]
}

// ids returns the ids of all, in words.
func (r *roster) ids() string {
	ids := make([]string, len(r.members))
	for i, m := range r.members {
		ids[i] = m.ID
	}
	return strings.Join(ids, ", ")
}

// voters returns the voters except those of some ids.
func (r *roster) voters(except ...string) []member {
	return slices.DeleteFunc(slices.Clone(r.members), func(m member) bool { return !m.voter || slices.Contains(except, m.ID) })
}

// failuresTolerated returns how many more voters may fail before nothing can be written; 0 also if the leader takes no writes already.
func (r *roster) failuresTolerated() int {
	if leader := r.find(r.leader); leader != nil && leader.report.GetStorageFull() {
		return 0
	}
	voters := r.voters()
	return max(0, healthyOf(voters)-quorumOf(len(voters)))
}

// successor returns the voter that is the best to lead next: a healthy one that has the newest log.
func (r *roster) successor() (*member, error) {
	var best *member
	for _, m := range r.members {
		if m.voter && m.ID != r.leader && m.ill == "" && (best == nil || m.report.GetLastIndex() > best.report.GetLastIndex()) {
			best = &m
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: no other voter is fit to lead%s: mend or promote one first", consent.ErrMembership, ills(r.voters(r.leader)))
	}
	return best, nil
}

// quorumOf returns how many of some voters a majority is.
func quorumOf(voters int) int { return voters/2 + 1 }

func healthyOf(members []member) (healthy int) {
	for _, m := range members {
		if m.ill == "" {
			healthy++
		}
	}
	return healthy
}

// fitToVote returns nil if the cluster can go on with these voters, and loses nothing by having no others.
func fitToVote(voters []member) error {
	if len(voters) == 0 {
		return fmt.Errorf("%w: it is the last voter: add another replica, or promote a learner, first", consent.ErrMembership)
	}
	if healthy, least := healthyOf(voters), quorumOf(len(voters)); healthy < least {
		return fmt.Errorf("%w: of the %d voters that this leaves, %d would be healthy, and nothing can be written with less than %d%s: "+
			"mend or remove those that aren't first", consent.ErrMembership, len(voters), healthy, least, ills(voters))
	}
	return nil
}

// ills says in brackets who isn't healthy, and why.
func ills(members []member) string {
	var words []string
	for _, m := range members {
		if m.ill != "" {
			words = append(words, m.ID+" "+m.ill)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, "; ") + ")"
}
