package main

import (
	"context"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
)

// nodeAs returns a node as what its room is about to make it, and ErrNotReady until then.
func nodeAs[T any](node *cluster.Node) (as T, err error) {
	as, ok := any(node).(T)
	if !ok {
		return as, consent.ErrNotReady
	}
	return as, nil
}

func handOver(ctx context.Context, node *cluster.Node) error {
	as, err := nodeAs[interface{ HandOver(context.Context) error }](node)
	if err != nil {
		return nil
	}
	return as.HandOver(ctx)
}
