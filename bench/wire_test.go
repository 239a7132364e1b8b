package bench_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/consentd/consentd/client"
	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
)

const (
	changesAMoment = 10_000 // in a second
	watched        = time.Second
)

// BenchmarkChangeStream measures what a near cache's connection carries, in both directions, for each change while 10,000 subjects change in a
// second: by writes of one subject each, and by commands of 256 as an import makes. An iteration is a second. It counts what the socket
// carries: HTTP/2 with all its frames, pings and pongs included. With TCP on Ethernet, each packet adds its headers; what that makes is reported
// as well, as if every read were a packet with an acknowledgement of its own.
func BenchmarkChangeStream(b *testing.B) {
	for _, together := range []int{1, 256} {
		b.Run(fmt.Sprintf("subjects=%d", together), func(b *testing.B) {
			node, carried := startWatched(b)
			var bytes, packets, rates []float64
			changed := 0
			for b.Loop() {
				before, began, first := carried.now(), time.Now(), changed
				changed = writePaced(b, node, first, together)
				await(b, "the changes to be carried", carried.reached)
				after, changes := carried.now(), float64(changed-first)
				bytes = append(bytes, float64(after.bytes-before.bytes)/changes)
				packets = append(packets, float64(after.bytes-before.bytes+2*packetHeaders*(after.reads-before.reads))/changes)
				rates = append(rates, changes/time.Since(began).Seconds())
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(bytes), "B/change")
			b.ReportMetric(median(packets), "B/change-TCP")
			b.ReportMetric(median(rates), "changes/s")
		})
	}
}

// packetHeaders are those of Ethernet, IPv4 and TCP with timestamps.
const packetHeaders = 14 + 20 + 32

// startWatched runs a replica, and a near cache that follows it over a unix socket, and returns what that carries.
func startWatched(b *testing.B) (*cluster.Node, *traffic) {
	b.Helper()
	node := startNode(b)
	carried := &traffic{}
	listener, dial := listen(b, "unix")
	startServer(b, listener, replicaOptions(node))
	conn, err := grpc.NewClient("passthrough:///bench", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dial(ctx, address)
			return counted{conn, carried}, err
		}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	near, err := client.NewNearCache(client.NearOptions{Conn: conn, MaxBytes: 16 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(near.Close)
	await(b, "the near cache to be ready", func() bool { return near.Ready() == nil })
	carried.reached = func() bool {
		at, err := node.View(b.Context(), consent.Consistency{})
		reached, _ := near.Reached()
		return err == nil && reached.Index >= at.Revision.Index
	}
	return node, carried
}

// traffic counts what a connection carries.
type traffic struct {
	bytes, reads atomic.Int64
	reached      func() bool // all that there is has been carried
}

type carried struct{ bytes, reads int64 }

func (t *traffic) now() carried { return carried{t.bytes.Load(), t.reads.Load()} }

// counted is a connection whose traffic is counted.
type counted struct {
	net.Conn
	traffic *traffic
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.bytes.Add(int64(n))
	c.traffic.reads.Add(1)
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.traffic.bytes.Add(int64(n))
	return n, err
}

// writePaced has so many subjects change within a second, so many in each command, evenly spread, and returns the number of the next one.
func writePaced(b *testing.B, node *cluster.Node, first, together int) (next int) {
	b.Helper()
	const writers = 64
	began, commands := time.Now(), int64(changesAMoment/together)
	var begun atomic.Int64
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for {
				n := begun.Add(1) - 1
				if n >= commands {
					return
				}
				<-time.After(time.Until(began.Add(time.Duration(n) * watched / time.Duration(commands))))
				if _, err := node.Write(context.Background(), grants(first+int(n)*together, together)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return first + int(commands)*together
}

// grants is a write of grants of so many subjects.
func grants(first, together int) consent.Write {
	w := consent.Write{Tenant: tenant, RequestID: newRequestID()}
	for n := range together {
		w.Events = append(w.Events, consent.SubjectEvent{Subject: subjectID(first + n), Event: consent.Event{
			Kind: consent.Granted, OccurredAt: consent.TimeOf(time.Now().Add(-time.Hour)), Scope: consent.Scope{Permissions: []string{permission}},
			Evidence: consent.Evidence{NoticeVersion: 3, Method: consent.MethodWebForm, Source: "bench", Reference: "forms/1"},
		}})
	}
	return w
}
