package main

import (
	"context"

	"github.com/consentd/consentd/cluster"
)

func handOver(ctx context.Context, node *cluster.Node) error {
	if as, ok := any(node).(interface{ HandOver(context.Context) error }); ok {
		return as.HandOver(ctx)
	}
	return nil
}
