package main

import (
	"fmt"
	"slices"
	"strings"
)

// markdown writes the tables. What wasn't measured is left out.
func markdown(r result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Beside others\n\nMade by `make rivals` from commit `%.12s` on %s: %s, %s processors, load %s before it.\n"+
		"What each side does, and what isn't compared fairly, is in [rivals](../rivals/README.md).\n\n![Answers a second beside a Check](rivals.svg)\n\n",
		r.head["commit"], r.head["date"], r.head["processor"], r.head["processors"], r.head["load"])
	fmt.Fprintf(&b, "## Services\n\nBeside a unary Check of consentd over a unix socket: %s/s for 1 caller, %s/s for 64. Ratios are medians of the pairs.\n\n",
		number(r.check(1)), number(r.check(64)))
	fmt.Fprintln(&b, "| | 1 caller: answers/s | p50, p99 of a call | beside Check | 64 callers: answers/s | p50, p99 of a call | beside Check |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|")
	for _, s := range services {
		one, many := r.service(s.name, 1), r.service(s.name, 64)
		if one != nil && many != nil {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", s.label, cells(one), cells(many))
		}
	}
	fmt.Fprint(&b, "\n## Caches\n\nA hit, found by a keyed hash of the id, beside one in consentd's cache, which also proves that it isn't too old. Hit ratio for subjects\n"+
		"drawn by Zipf's law (0.99) out of 10 million, at equal memory.\n\n")
	fmt.Fprintln(&b, "| | hit, 1 goroutine | speed beside ours | 64 goroutines: hits/s | speed beside ours | hit ratio, idle | under import | entries | memory |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|")
	fmt.Fprintf(&b, "| consentd's cache | %s | 1x | %s | 1x | %s |\n", nanoseconds(r.ours(1)), number(r.ours(64)), r.hitRatio("ours"))
	for _, c := range caches {
		one, many := r.hits(c.name, 1), r.hits(c.name, 64)
		if one != nil && many != nil {
			fmt.Fprintf(&b, "| %s | %s | %.2gx | %s | %.2gx | %s |\n",
				c.label, nanoseconds(one["answers/s"]), one["ratio"], number(many["answers/s"]), many["ratio"], r.hitRatio(c.name))
		}
	}
	return b.String()
}

func cells(f map[string]float64) string {
	return fmt.Sprintf("%s | %s, %s | %s", number(f["answers/s"]), micros(f["p50-µs"]), micros(f["p99-µs"]), times(f["ratio"]))
}

func (r result) hits(name string, goroutines int) map[string]float64 {
	return r.figures[fmt.Sprintf("CacheHit/%s/goroutines=%d", name, goroutines)]
}

// ours returns how many hits a second our cache gave.
func (r result) ours(goroutines int) float64 {
	var all []float64
	for _, c := range caches {
		if f := r.hits(c.name, goroutines); f != nil {
			all = append(all, f["check/s"])
		}
	}
	return median(all)
}

func (r result) hitRatio(name string) string {
	idle, imported := r.figures["HitRatio/idle"], r.figures["HitRatio/import"]
	if idle == nil || imported == nil {
		return "- | - | - | -"
	}
	return fmt.Sprintf("%.1f %% | %.1f %% | %s | %.3g MB", idle[name+"-%"], imported[name+"-%"], number(idle[name+"-entries"]), idle[name+"-MB"])
}

// number writes a count to three digits, with commas.
func number(n float64) string {
	unit := 1.0
	for n/unit >= 1000 {
		unit *= 10
	}
	text := fmt.Sprintf("%.0f", float64(int64(n/unit+0.5))*unit)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func times(ratio float64) string {
	if ratio >= 10 {
		return number(ratio) + "x"
	}
	return fmt.Sprintf("%.2gx", ratio)
}

func micros(us float64) string {
	if us >= 1000 {
		return fmt.Sprintf("%.3g ms", us/1000)
	}
	return fmt.Sprintf("%.3g µs", us)
}

func nanoseconds(perSecond float64) string { return fmt.Sprintf("%.0f ns", 1e9/perSecond) }

// median returns 0 for none.
func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}
