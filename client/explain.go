package client

import (
	"context"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Explain says row by row of the decision table how permissions of a subject are decided, and what would mend a denial. The request's tenant
// is the client's, if it names none, and without a consistency the data includes what this client wrote. An error is as one of Check.
func (c *Client) Explain(ctx context.Context, r *consentv1.ExplainRequest) (*consentv1.ExplainResponse, error) {
	request := proto.CloneOf(r)
	if request.GetTenant() == "" {
		request.Tenant = c.tenant
	}
	at, err := consent.ParseRevision(r.GetConsistency().GetAtLeast())
	if err != nil {
		return nil, fmt.Errorf("consistency.at_least: %w: %w", err, ErrInvalid)
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	var reply *consentv1.ExplainResponse
	asked := consent.Consistency{AtLeast: at, Full: r.GetConsistency().GetFullyConsistent()}
	err = c.read(ctx, c.until(ctx), asked, func(d consent.Consistency) (err error) {
		request.Consistency = consistencyOf(d)
		began := c.o.now()
		if reply, err = c.permissions.Explain(ctx, request); err != nil {
			return errorOf(err)
		}
		t := told{reply.GetPolicyVersion(), reply.GetAge().AsDuration(), boundLeftAt(reply)}
		g, err := c.groundOf(reply.GetRevision(), t, d, began)
		reply.Age = durationpb.New(g.age)
		for _, explanation := range reply.GetExplanations() {
			if answer := explanation.GetAnswer(); answer != nil {
				answer.CacheFor = durationpb.New(g.keep(answer.GetCacheFor().AsDuration()))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// boundLeftAt returns how long it was until the bound when an explanation was given, and zero if it doesn't tell.
func boundLeftAt(r *consentv1.ExplainResponse) time.Duration {
	for _, explanation := range r.GetExplanations() {
		if a := explanation.GetAnswer(); a.GetNextChange() == nil && a.GetCacheFor() != nil {
			return a.GetCacheFor().AsDuration()
		}
	}
	return 0
}
