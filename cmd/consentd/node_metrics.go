package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/consentd/consentd/cluster"
)

// nodeCollectors are the metrics of the node, read when they are asked for.
func nodeCollectors(node *cluster.Node) []prometheus.Collector {
	gauge := func(name, help string, value func(cluster.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "consentd", Name: name, Help: help}, func() float64 {
			return value(node.Stats())
		})
	}
	counter := func(name, help string, value func(cluster.Stats) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "consentd", Name: name, Help: help}, func() float64 {
			return value(node.Stats())
		})
	}
	return []prometheus.Collector{
		gauge("raft_leader", "1 while this replica leads.", func(s cluster.Stats) float64 { return number(s.State == "Leader") }),
		gauge("raft_term", "The current term.", func(s cluster.Stats) float64 { return float64(s.Term) }),
		gauge("raft_last_index", "The index of the newest entry of the log.", func(s cluster.Stats) float64 { return float64(s.Last) }),
		gauge("raft_commit_index", "The index of the newest committed entry.", func(s cluster.Stats) float64 { return float64(s.Commit) }),
		gauge("applied_index", "The index up to which entries are applied.", func(s cluster.Stats) float64 { return float64(s.Applied) }),
		gauge("snapshot_index", "The index that the last snapshot covers.", func(s cluster.Stats) float64 { return float64(s.Covered) }),
		gauge("fresh", "1 while a proof of freshness was ever given and counts unless it is too old.", func(s cluster.Stats) float64 {
			return number(s.Proven)
		}),
		gauge("freshness_age_seconds", "The time since the state was last proven to be the newest.", func(s cluster.Stats) float64 {
			return s.Age.Seconds()
		}),
		gauge("storage_full", "1 while writes are refused because the disk is nearly full.", func(s cluster.Stats) float64 {
			return number(s.StorageFull)
		}),
		gauge("writes_waiting", "Commands that wait to be proposed.", func(s cluster.Stats) float64 { return float64(s.Waiting) }),
		counter("entries_proposed_total", "Entries of the log proposed since the start.", func(s cluster.Stats) float64 {
			return float64(s.Entries)
		}),
		counter("commands_proposed_total", "Commands in the entries proposed since the start.", func(s cluster.Stats) float64 {
			return float64(s.Commands)
		}),
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
