package main

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metricOf is one number among those that are read together.
type metricOf[S any] struct {
	name, help string
	kind       prometheus.ValueType
	value      func(S) float64 // NaN: left out
}

// metricSet makes metrics of numbers that were read together, so that they fit each other.
type metricSet[S any] struct {
	all   []metricOf[S]
	descs []*prometheus.Desc
}

func newMetricSet[S any](all []metricOf[S]) metricSet[S] {
	f := metricSet[S]{all: all}
	for _, one := range all {
		f.descs = append(f.descs, newDesc(one.name, one.help))
	}
	return f
}

func newDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("consentd", "", name), help, nil, nil)
}

func (f metricSet[S]) describe(descs chan<- *prometheus.Desc) {
	for _, desc := range f.descs {
		descs <- desc
	}
}

func (f metricSet[S]) collect(read S, metrics chan<- prometheus.Metric) {
	for i, one := range f.all {
		if value := one.value(read); !math.IsNaN(value) {
			metrics <- prometheus.MustNewConstMetric(f.descs[i], one.kind, value)
		}
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// timestamp returns the seconds since 1970, and NaN for the zero time.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return math.NaN()
	}
	return float64(t.UnixMilli()) / 1000
}

// unlessNegative returns NaN for what is under 0.
func unlessNegative(value float64) float64 {
	if value < 0 {
		return math.NaN()
	}
	return value
}
