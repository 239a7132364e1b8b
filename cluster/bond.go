package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// nodeState is how far a replica has come on its way into a cluster. It only ever grows.
type nodeState string

const (
	// stateNew is a replica that belongs nowhere.
	stateNew nodeState = "new"
	// stateJoining is one that is bound to a cluster, and has acknowledged nothing in it: it may run Raft, and its log may be empty.
	stateJoining nodeState = "joining"
	// stateMember is one that has acknowledged something, be it a vote. If its log is lost, its name is.
	stateMember nodeState = "member"
)

// bond is what ties a replica to a cluster. It lies in FORMAT.
type bond struct {
	state     nodeState
	clusterID string // empty while new
	founder   string // while joining: who founds the cluster, if that isn't done yet
}

// boundError is returned for binding a replica that is bound to another cluster.
type boundError struct {
	nodeID string
	to     bond
}

// Error implements error.
func (e *boundError) Error() string {
	if e.to.founder != "" {
		return fmt.Sprintf("%s is bound to cluster %s, which %s founds: if that one is lost, start %s with an empty data directory", e.nodeID,
			e.to.clusterID, e.to.founder, e.nodeID)
	}
	return fmt.Sprintf("%s belongs to cluster %s: to have it in another one, remove it there, and start it with an empty data directory",
		e.nodeID, e.to.clusterID)
}

// lines returns what FORMAT says of a bond.
func (b bond) lines() string {
	text := fmt.Sprintf("state: %s\n", b.state)
	if b.clusterID != "" {
		text += fmt.Sprintf("cluster: %s\n", b.clusterID)
	}
	if b.founder != "" {
		text += fmt.Sprintf("founder: %s\n", b.founder)
	}
	return text
}

// parseBond reads the lines back.
func parseBond(lines string) (b bond, ok bool) {
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "state":
			b.state = nodeState(value)
		case "cluster":
			b.clusterID = value
		case "founder":
			b.founder = value
		default:
			return bond{}, false
		}
	}
	known := slices.Contains([]nodeState{stateNew, stateJoining, stateMember}, b.state)
	return b, known && (b.state == stateNew) == (b.clusterID == "") && b.lines() == lines
}
