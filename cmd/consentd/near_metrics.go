package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/consentd/consentd/client"
	"github.com/consentd/consentd/consent"
)

// nearReading is what is read of a near cache at once.
type nearReading struct {
	client.NearStats
	position uint64
	view     consent.View
	age      time.Duration // -1s before the first proof
	fresh    bool
}

func readNear(n *client.NearCache) nearReading {
	r := nearReading{NearStats: n.Stats(), age: -time.Second}
	reached, _ := n.Reached()
	r.position = reached.Index
	if view, err := n.View(context.Background(), consent.Consistency{}); err == nil {
		r.view = view
		r.age, r.fresh = view.Age(time.Now())
	}
	return r
}

// nearMetrics are all figures of a near cache. Where a replica has the same, the name is the same.
func nearMetrics() []metricOf[nearReading] {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	return []metricOf[nearReading]{
		{"fresh", "1 while checks are answered: the state is proven to be newer than the staleness bound.", gauge,
			func(r nearReading) float64 { return number(r.fresh) }},
		{"freshness_age_seconds", "The time since the state was last proven to be the newest. -1 before the first proof.", gauge,
			func(r nearReading) float64 { return r.age.Seconds() }},
		{"staleness_bound_seconds", "The staleness bound that holds here. 0 before the first proof.", gauge,
			func(r nearReading) float64 { return r.view.Bound.Seconds() }},
		{"applied_index", "The index up to which changes have been heard of.", gauge, func(r nearReading) float64 { return float64(r.position) }},
		{"near_hits_total", "Records that were here when they were looked for.", counter, func(r nearReading) float64 { return float64(r.Hits) }},
		{"near_misses_total", "Records that weren't here when they were looked for.", counter,
			func(r nearReading) float64 { return float64(r.Misses) }},
		{"near_fills_total", "Records that a replica was asked for.", counter, func(r nearReading) float64 { return float64(r.Fills) }},
		{"near_evictions_total", "Records that made room for others.", counter, func(r nearReading) float64 { return float64(r.Evictions) }},
		{"near_rejected_total", "Records that weren't worth keeping, because those that are kept are asked for oftener.", counter,
			func(r nearReading) float64 { return float64(r.Rejected) }},
		{"near_entries", "Records that are held, also of subjects of which nothing is recorded.", gauge,
			func(r nearReading) float64 { return float64(r.Entries) }},
		{"near_bytes", "Memory that the cache takes, all in.", gauge, func(r nearReading) float64 { return float64(r.Bytes) }},
		{"watch_streams_total", "Streams of changes that were tried: the first, and those after one broke or nobody took it.", counter,
			func(r nearReading) float64 { return float64(r.Streams) }},
		{"watch_resets_total", "How often nothing that was held counted any more: at the start, behind a gap, and after a restore.", counter,
			func(r nearReading) float64 { return float64(r.Resets) }},
	}
}

// nearCollector reads the figures of a near cache when they are asked for.
type nearCollector struct {
	near    *client.NearCache
	metrics metricSet[nearReading]
}

func newNearCollector(near *client.NearCache) *nearCollector {
	return &nearCollector{near: near, metrics: newMetricSet(nearMetrics())}
}

// Describe implements prometheus.Collector.
func (c *nearCollector) Describe(descs chan<- *prometheus.Desc) { c.metrics.describe(descs) }

// Collect implements prometheus.Collector.
func (c *nearCollector) Collect(metrics chan<- prometheus.Metric) {
	c.metrics.collect(readNear(c.near), metrics)
}
