package server

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// DefaultInFlight is how many calls run at once if nothing is said.
const DefaultInFlight = 8192

// Limits of the wire. What a call may hold is limited where it is validated.
const (
	maxCheckBytes     = 64 << 10
	maxMessageBytes   = 4 << 20
	maxHeaderBytes    = 8 << 10
	maxStreams        = 256 // of one connection
	handshakeTimeout  = 5 * time.Second
	minPingInterval   = 10 * time.Second // of a client: those that ping oftener are sent away
	idlePing          = time.Minute      // of ours, to find connections whose other end is gone
	idlePingTimeout   = 20 * time.Second
	questionsPerPlace = 64 // so many questions of a batch weigh as much as a call
)

// wireLimits replace the library's defaults: unlimited streams, 16 MiB of headers, two minutes to shake hands.
func wireLimits() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: idlePing, Timeout: idlePingTimeout}),
	}
}

// gate holds how much runs at once. What comes beyond is refused at once, because a queue would only make everyone late. Large calls
// get half of the places, so that they are shed before single checks.
type gate struct {
	most    int64
	running atomic.Int64
}

// enter takes a place for a call, or returns errOverloaded. The caller leaves with the same weight.
func (g *gate) enter() (weight int64, err error) { return g.take(1, g.most) }

// enterLarge takes the places of a call with so many questions, of the half that large calls have. One always fits when nothing runs.
func (g *gate) enterLarge(questions int) (weight int64, err error) {
	half := max(g.most/2, 1)
	return g.take(min(1+int64(questions)/questionsPerPlace, half), half)
}

func (g *gate) take(weight, most int64) (int64, error) {
	if g.running.Add(weight) > most {
		g.running.Add(-weight)
		return 0, errOverloaded
	}
	return weight, nil
}

func (g *gate) leave(weight int64) { g.running.Add(-weight) }
