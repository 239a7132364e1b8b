package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/consentd/consentd/cluster"
)

// nodeMetric is one figure of the node.
type nodeMetric = metricOf[cluster.Stats]

// nodeMetrics are all of them.
func nodeMetrics() []nodeMetric {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	return []nodeMetric{
		{"raft_leader", "1 while this replica leads.", gauge, func(s cluster.Stats) float64 { return number(s.Leads) }},
		{"raft_leader_known", "1 while this replica knows who leads.", gauge, func(s cluster.Stats) float64 { return number(s.LeaderKnown) }},
		{"raft_leader_changes_total", "How often another leader was seen since the start.", counter,
			func(s cluster.Stats) float64 { return float64(s.LeaderChanges) }},
		{"raft_last_contact_seconds", "The time since this replica heard of the leader. -1 if it never has.", gauge,
			func(s cluster.Stats) float64 { return s.LastContact.Seconds() }},
		{"members", "Replicas that belong to the cluster.", gauge, func(s cluster.Stats) float64 { return float64(s.Members) }},
		{"voters", "Members that vote.", gauge, func(s cluster.Stats) float64 { return float64(s.Voters) }},
		{"failures_tolerated", "How many more voters may fail before nothing can be written, 0 also while nothing can. -1 unless it leads.", gauge,
			func(s cluster.Stats) float64 { return float64(s.FailuresTolerated) }},
		{"raft_term", "The current term.", gauge, func(s cluster.Stats) float64 { return float64(s.Term) }},
		{"raft_last_index", "The index of the newest entry of the log.", gauge, func(s cluster.Stats) float64 { return float64(s.Last) }},
		{"raft_commit_index", "The index of the newest committed entry.", gauge, func(s cluster.Stats) float64 { return float64(s.Commit) }},
		{"applied_index", "The index up to which entries are applied.", gauge, func(s cluster.Stats) float64 { return float64(s.Applied) }},
		{"snapshot_index", "The index that the last snapshot covers.", gauge, func(s cluster.Stats) float64 { return float64(s.Covered) }},
		{"fresh", "1 while checks are answered: the state is proven to be newer than the staleness bound.", gauge,
			func(s cluster.Stats) float64 { return number(s.Fresh) }},
		{"freshness_age_seconds", "The time since the state was last proven to be the newest. -1 before the first proof.", gauge,
			func(s cluster.Stats) float64 { return s.Age.Seconds() }},
		{"storage_full", "1 while writes are refused because the disk is nearly full.", gauge,
			func(s cluster.Stats) float64 { return number(s.StorageFull) }},
		{"writes_waiting", "Commands that wait to be proposed, or to be sent to the leader.", gauge, func(s cluster.Stats) float64 { return float64(s.Waiting) }},
		{"tenants", "Tenants of which something is held.", gauge, func(s cluster.Stats) float64 { return float64(s.Tenants) }},
		{"subjects", "Subjects of which something is recorded.", gauge, func(s cluster.Stats) float64 { return float64(s.Subjects) }},
		{"records_bytes", "Memory for the records and their index.", gauge, func(s cluster.Stats) float64 { return float64(s.RecordBytes) }},
		{"ledger_bytes", "Disk space of the ledger.", gauge, func(s cluster.Stats) float64 { return float64(s.LedgerBytes) }},
		{"writes_forwarded_total", "Commands sent to the leader since the start, repeats among them.", counter,
			func(s cluster.Stats) float64 { return float64(s.Forwarded) }},
		{"entries_proposed_total", "Entries of the log proposed since the start.", counter,
			func(s cluster.Stats) float64 { return float64(s.Entries) }},
		{"commands_proposed_total", "Commands in the entries proposed since the start.", counter,
			func(s cluster.Stats) float64 { return float64(s.Commands) }},
		{"disk_free_bytes", "Free space of the disk. Left out where no floor of it is kept.", gauge,
			func(s cluster.Stats) float64 { return unlessNegative(float64(s.FreeBytes)) }},
		{"raft_log_bytes", "Disk space of the Raft log.", gauge, func(s cluster.Stats) float64 { return float64(s.LogBytes) }},
		{"snapshot_stream_bytes_total", "Bytes of state made into streams for other replicas since the start.", counter,
			func(s cluster.Stats) float64 { return float64(s.StreamBytes) }},
		{"peer_certificate_expiry_timestamp_seconds", "When other replicas stop taking this one's certificate. Left out without TLS.", gauge,
			func(s cluster.Stats) float64 { return timestamp(s.CertificateExpires) }},
	}
}

// nodeHistogram is how long something of the node's takes.
type nodeHistogram struct {
	name, help string
	value      func(cluster.Stats) cluster.Durations
}

// nodeHistograms are all of them.
func nodeHistograms() []nodeHistogram {
	return []nodeHistogram{
		{"raft_log_sync_seconds", "How long the disk took to sync the Raft log.", func(s cluster.Stats) cluster.Durations { return s.LogSyncs }},
		{"snapshot_stream_seconds", "How long it took to make a stream of the state for another replica.",
			func(s cluster.Stats) cluster.Durations { return s.Streams }},
	}
}

// nodeCollector reads the node's figures when they are asked for, all at once, so that they fit together.
type nodeCollector struct {
	node    *cluster.Node
	metrics metricSet[cluster.Stats]
	times   []nodeHistogram
	descs   []*prometheus.Desc // of times
}

func newNodeCollector(node *cluster.Node) *nodeCollector {
	c := &nodeCollector{node: node, metrics: newMetricSet(nodeMetrics()), times: nodeHistograms()}
	for _, h := range c.times {
		c.descs = append(c.descs, newDesc(h.name, h.help))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(descs chan<- *prometheus.Desc) {
	c.metrics.describe(descs)
	for _, desc := range c.descs {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *nodeCollector) Collect(metrics chan<- prometheus.Metric) {
	stats := c.node.Stats()
	c.metrics.collect(stats, metrics)
	for i, h := range c.times {
		took, buckets := h.value(stats), map[float64]uint64{}
		for bound, count := range took.AtMost {
			buckets[bound.Seconds()] = count
		}
		metrics <- prometheus.MustNewConstHistogram(c.descs[i], took.Count, took.Sum.Seconds(), buckets)
	}
}
