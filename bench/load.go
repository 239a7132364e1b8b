package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/consentd/consentd/client"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// load is what a scenario's requests are made of, and sent over.
type load struct {
	o        *Options
	scenario *Scenario
	data     dataset
	draw     lot
	conns    []*grpc.ClientConn
	sdk      *client.Client // nil unless the scenario's requests are the SDK's
	opened   atomic.Uint64  // callers
	fresh    atomic.Uint64  // subjects that were written anew
	run      uint64         // tells this run's fresh subjects from those of others
}

func newLoad(ctx context.Context, o *Options, s *Scenario) (*load, error) {
	l := &load{o: o, scenario: s, data: newDataset(o), draw: newLot(o), run: uint64(time.Now().UnixNano())} //nolint:gosec // after 1970
	for range o.Conns {
		conn, err := client.Connect(o.Target, o.Conn)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.conns = append(l.conns, conn)
	}
	if err := l.prepare(ctx); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *load) close() error {
	if l.sdk != nil {
		l.sdk.Close()
	}
	var all []error
	for _, conn := range l.conns {
		all = append(all, conn.Close())
	}
	return errors.Join(all...)
}

// conn returns the connection of the next caller.
func (l *load) conn() *grpc.ClientConn {
	return l.conns[l.opened.Add(1)%uint64(len(l.conns))]
}

// shared returns the SDK's client, which callers share.
func (l *load) shared() (*client.Client, error) {
	if l.sdk != nil {
		return l.sdk, nil
	}
	options := []client.Option{client.WithTenant(l.o.Tenant), client.WithTimeout(l.o.Timeout), client.WithoutWaiting()}
	if l.o.Conn.TLS != nil {
		options = append(options, client.WithTLS(l.o.Conn.TLS))
	}
	if l.o.Conn.Plaintext {
		options = append(options, client.WithPlaintext())
	}
	var err error
	l.sdk, err = client.Dial(context.Background(), l.o.Target, options...)
	return l.sdk, err
}

// prepare gives the tenant its policy, and writes the subjects unless they are there.
func (l *load) prepare(ctx context.Context) error {
	if err := l.putPolicy(ctx); err != nil {
		return fmt.Errorf("giving tenant %q its policy: %w", l.o.Tenant, err)
	}
	there, err := l.isThere(ctx)
	if err != nil {
		return fmt.Errorf("looking for the data set: %w", err)
	}
	if there {
		return nil
	}
	l.o.Message("writing %d subjects", l.data.subjects)
	began := time.Now()
	if err := l.write(ctx); err != nil {
		return fmt.Errorf("writing the data set: %w", err)
	}
	l.o.Message("wrote them in %.1f s", time.Since(began).Seconds())
	return nil
}

// putPolicy puts no policy in the place of another: what is measured writes to the tenant.
func (l *load) putPolicy(ctx context.Context) error {
	policies := consentv1.NewPolicyServiceClient(l.conns[0])
	return patiently(ctx, func(ctx context.Context) error {
		held, err := policies.GetPolicy(ctx, &consentv1.GetPolicyRequest{Tenant: l.o.Tenant})
		switch {
		case status.Code(err) == codes.NotFound:
			_, err = policies.PutPolicy(ctx, &consentv1.PutPolicyRequest{Tenant: l.o.Tenant, Document: policy, Etag: "none"})
			return err
		case err != nil:
			return err
		case held.GetPolicy().GetDocument() != policy:
			return errors.New("it has another one, and what is measured writes to it: name a tenant that nobody uses")
		}
		return nil
	})
}

// isThere asks for the subject who is written last.
func (l *load) isThere(ctx context.Context) (there bool, err error) {
	question := &consentv1.CheckRequest{
		Tenant: l.o.Tenant, Subject: l.data.mark(), Permissions: []string{permission}, Consistency: &consentv1.Consistency{
			Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true},
		},
	}
	permissions := consentv1.NewPermissionServiceClient(l.conns[0])
	err = patiently(ctx, func(ctx context.Context) error {
		reply, err := permissions.Check(ctx, question)
		if err == nil {
			there = allows(reply)
		}
		return err
	})
	return there, err
}

// allows reports whether a reply to one permission's check is ALLOW. One that is odd isn't.
func allows(reply *consentv1.CheckResponse) bool {
	results := reply.GetResults()
	return len(results) == 1 && results[0].GetAnswer().GetDecision() == consentv1.Decision_DECISION_ALLOW
}

// write imports the subjects over several streams, and the mark when all are there.
func (l *load) write(ctx context.Context) error {
	const streams, together = 8, 500
	at, began := time.Now().Add(-time.Hour), time.Now()
	var next, done atomic.Uint64
	var told atomic.Int64
	all, within := errgroup.WithContext(ctx)
	for range streams {
		all.Go(func() error {
			in, err := openImportStream(within, l.conn(), l.o.Tenant)
			if err != nil {
				return err
			}
			defer in.cancel()
			for {
				from := next.Add(together) - together
				if from >= l.data.subjects {
					return in.finish()
				}
				to := min(from+together, l.data.subjects)
				if _, err := in.send(l.data.rows(from, to, at)); err != nil {
					return err
				}
				l.tellWritten(done.Add(to-from), began, &told)
			}
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	_, err := consentv1.NewRecordServiceClient(l.conns[0]).WriteEvents(ctx, &consentv1.WriteEventsRequest{
		Tenant: l.o.Tenant, Events: confirmed(l.data.mark(), at),
	})
	return err
}

// tellWritten says how far it is, every five seconds.
func (l *load) tellWritten(done uint64, began time.Time, told *atomic.Int64) {
	const every = 5 * time.Second
	ran := time.Since(began)
	if last := told.Load(); ran < time.Duration(last)+every || !told.CompareAndSwap(last, int64(ran)) {
		return
	}
	left := time.Duration(float64(ran) * (float64(l.data.subjects)/float64(done) - 1))
	l.o.Message("writing subjects: %d of %d, %s to go", done, l.data.subjects, left.Round(time.Second))
}

// patiently tries for up to ten seconds.
func patiently(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := do(ctx)
		if err == nil || !passes(err) {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}
