package bench_test

import (
	"context"
	"errors"
	"testing"

	"github.com/consentd/consentd/client"
)

// BenchmarkSharedStream measures the checks of 64 callers that share the SDK's stream to a sidecar: beside the same by unary calls, and beside
// as many callers who ask Redis for a value of about a record's length, each on a connection of its own, one question at a time. Redis and the
// sidecar are asked over unix sockets, and over TCP.
func BenchmarkSharedStream(b *testing.B) {
	const callers = 64
	for _, network := range []string{"unix", "tcp"} {
		b.Run(network, func(b *testing.B) {
			target := startAside(b)[network]
			shared := dialSDK(b, target).asked(b, "stream/s", callers)
			b.Run("unary", func(b *testing.B) {
				pairs(b, shared, dialSDK(b, target, client.WithUnaryCalls()).asked(b, "unary/s", callers))
			})
			if network == "unix" {
				b.Run("empty", func(b *testing.B) {
					pairs(b, shared, dialSDK(b, startEmptyProcess(b), client.WithoutWaiting()).asked(b, "empty/s", callers))
				})
			}
			b.Run("redis", func(b *testing.B) { pairs(b, shared, startRedis(b, network).asked(b, callers)) })
		})
	}
}

// sdk is a client of ours.
type sdk struct {
	*client.Client
	ids []string
}

func dialSDK(b *testing.B, target string, options ...client.Option) sdk {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, target, options...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return sdk{c, subjectIDs()}
}

// asked has callers ask one check after the other.
func (s sdk) asked(b *testing.B, unit string, callers int) side {
	ctx := context.Background()
	return side{unit, func() float64 {
		return rate(b, callers, func(_, number int) error {
			answer, err := s.Check(ctx, client.Question{Subject: s.ids[number%len(s.ids)], Permission: permission})
			if err == nil && answer.Reason == 0 {
				err = errors.New("the answer has no reason")
			}
			return err
		})
	}}
}
