package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
)

// show writes a table of the rows, the earlier figure before the later one.
func show(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "benchmark\tallocations\tbytes\tbeside baseline\ttimes\tverdict")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.name, change(r.allocsBefore, r.allocs, ""), change(r.bytesBefore, r.bytes, ""),
			change(r.ratioBefore, r.ratio, "x"), figure(r.times), r.verdict)
	}
	_ = t.Flush()
}

func change(before, after float64, unit string) string {
	if math.IsNaN(before) && math.IsNaN(after) {
		return "-"
	}
	if math.IsNaN(before) {
		return "- -> " + figure(after) + unit
	}
	return figure(before) + unit + " -> " + figure(after) + unit
}

func figure(of float64) string {
	if math.IsNaN(of) {
		return "-"
	}
	return strconv.FormatFloat(math.Round(of*100)/100, 'f', -1, 64)
}
