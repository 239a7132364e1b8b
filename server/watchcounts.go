package server

import (
	"strings"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/prometheus/client_golang/prometheus"
)

// watchCounts are the figures of the readers of changes.
type watchCounts struct {
	readers         prometheus.Gauge
	changes, cutOff prometheus.Counter
	resets          *prometheus.CounterVec
}

func newWatchCounts() *watchCounts {
	counter := func(name, help string) prometheus.CounterOpts { return prometheus.CounterOpts{Name: name, Help: help} }
	return &watchCounts{
		readers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "consentd_change_readers", Help: "Near caches that follow the changes here."}),
		changes: prometheus.NewCounter(counter("consentd_change_buckets_sent_total", "Changed buckets sent to near caches, counted for each of them.")),
		cutOff:  prometheus.NewCounter(counter("consentd_change_readers_cut_off_total", "Near caches cut off because they didn't keep up.")),
		resets: prometheus.NewCounterVec(counter("consentd_change_resets_total",
			"Near caches that were told to begin anew, by why: start, position_gone, epoch."), []string{"reason"}),
	}
}

// reset counts one.
func (c *watchCounts) reset(reason consentv1.WatchResetReason) {
	name := strings.TrimPrefix(reason.String(), "WATCH_RESET_REASON_")
	c.resets.WithLabelValues(strings.ToLower(name)).Inc()
}

func (c *watchCounts) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.readers, c.changes, c.cutOff, c.resets}
}
