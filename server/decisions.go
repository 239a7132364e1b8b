package server

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/consentd/consentd/consent"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxCounted is how many permissions are counted apart. Policies can't declare an unbounded number of them unnoticed.
	maxCounted = 1024
	// uncounted is the name under which the rest is counted. No permission can have it.
	uncounted = "(other)"
	reasons   = 64 // more than there are
)

// decisionCounts counts decisions by permission and reason. Its labels come from policies, never from callers. A count costs a look
// into a map that is never written, only replaced, and one addition; the metrics are made when they are read.
type decisionCounts struct {
	byPermission atomic.Pointer[map[string]*reasonCounts]
	adding       sync.Mutex
}

type reasonCounts [reasons]atomic.Uint64

func (d *decisionCounts) count(permission string, r consent.Reason) { d.of(permission).add(r, 1) }

// countAll counts decisions on a permission by their reasons. If there are none, it needn't be one.
func (d *decisionCounts) countAll(permission string, given *[reasons]uint64) {
	var counts *reasonCounts
	for reason, n := range given {
		if n == 0 {
			continue
		}
		if counts == nil {
			counts = d.of(permission)
		}
		counts[reason].Add(n)
	}
}

func (c *reasonCounts) add(r consent.Reason, n uint64) { c[int(r)%reasons].Add(n) }

func (d *decisionCounts) known() map[string]*reasonCounts {
	if known := d.byPermission.Load(); known != nil {
		return *known
	}
	return nil
}

// of returns the counts of a permission that a policy declares.
func (d *decisionCounts) of(permission string) *reasonCounts {
	if counts := d.known()[permission]; counts != nil {
		return counts
	}
	return d.add(permission)
}

func (d *decisionCounts) add(permission string) *reasonCounts {
	d.adding.Lock()
	defer d.adding.Unlock()
	known := d.known()
	if len(known) >= maxCounted {
		permission = uncounted
	}
	if counts := known[permission]; counts != nil {
		return counts
	}
	grown := make(map[string]*reasonCounts, len(known)+1)
	maps.Copy(grown, known)
	counts := new(reasonCounts)
	grown[permission] = counts
	d.byPermission.Store(&grown)
	return counts
}

var decisionsDesc = prometheus.NewDesc("consentd_decisions_total",
	"Decisions given, by decision, reason and permission.", []string{"decision", "reason", "permission"}, nil)

// Describe implements prometheus.Collector.
func (d *decisionCounts) Describe(descs chan<- *prometheus.Desc) { descs <- decisionsDesc }

// Collect implements prometheus.Collector.
func (d *decisionCounts) Collect(metrics chan<- prometheus.Metric) {
	for permission, counts := range d.known() {
		for i := range counts {
			n := counts[i].Load()
			if n == 0 {
				continue
			}
			decision, reason := "DENY", consent.Reason(i)
			if reason.Allows() {
				decision = "ALLOW"
			}
			metrics <- prometheus.MustNewConstMetric(
				decisionsDesc, prometheus.CounterValue, float64(n), decision, reason.String(), permission)
		}
	}
}
