package main

import (
	"fmt"
	"math"
	"strings"
)

const (
	width, left, right  = 860, 250, 150
	top, line, foot     = 66, 26, 44
	plot                = width - left - right
	lightInk, darkInk   = "#1f2328", "#e6edf3"
	lightGrid, darkGrid = "#d0d7de", "#3d444d"
	lightOurs, darkOurs = "#0969da", "#4493f8"
	lightElse, darkElse = "#57606a", "#9198a1"
)

// svg draws how many answers 64 callers get beside a Check: the median as a dot, smallest and largest of the pairs as a line. The axis is
// logarithmic, because they lie far apart.
func svg(r result) string {
	var measured []labelled
	lowest, highest := 1.0, 1.0
	for _, s := range services {
		if f := r.service(s.name, 64); f != nil {
			measured = append(measured, s)
			lowest, highest = min(lowest, f["min-ratio"]), max(highest, f["max-ratio"])
		}
	}
	from, to := math.Floor(math.Log10(lowest)), math.Ceil(math.Log10(highest)+0.01)
	at := func(ratio float64) float64 { return left + plot*(math.Log10(ratio)-from)/(to-from) }
	height := top + line*len(measured) + foot
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13" role="img">`, width, height)
	fmt.Fprintf(&b, "\n<title>Answers a second of 64 callers, beside a Check of consentd over a unix socket</title>\n<style>%s</style>\n", style())
	fmt.Fprintf(&b, `<text class="ink" x="16" y="24" font-size="16" font-weight="600">Answers a second of 64 callers, beside a Check of consentd</text>`+"\n")
	fmt.Fprintf(&b, `<text class="else" x="16" y="44">Check over a unix socket: %s/s = 1x. Dot: median of the pairs; line: all of them. Logarithmic.</text>`+"\n", number(r.check(64)))
	for power := from; power <= to; power++ {
		x := at(math.Pow(10, power))
		kind := "grid"
		if power == 0 {
			kind = "one"
		}
		fmt.Fprintf(&b, `<line class="%s" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, kind, x, x, top-8, height-foot+4)
		fmt.Fprintf(&b, `<text class="else" x="%.1f" y="%d" text-anchor="middle">%gx</text>`+"\n", x, height-foot+22, math.Pow(10, power))
	}
	for i, s := range measured {
		f, y := r.service(s.name, 64), top+line*i+line/2
		kind := "else"
		if strings.HasPrefix(s.name, "consentd") {
			kind = "ours"
		}
		fmt.Fprintf(&b, `<text class="ink" x="%d" y="%d" text-anchor="end">%s</text>`, left-14, y+4, s.label)
		fmt.Fprintf(&b, `<line class="%s" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, kind, at(f["min-ratio"]), at(f["max-ratio"]), y, y)
		fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%d" r="5"/>`, kind, at(f["ratio"]), y)
		fmt.Fprintf(&b, `<text class="%s" x="%d" y="%d">%s, %s/s</text>`+"\n", kind, width-right+16, y+4, times(f["ratio"]), number(f["answers/s"]))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func style() string {
	colours := func(ink, grid, ours, other string) string {
		return fmt.Sprintf(".ink{fill:%s}.grid{stroke:%s}.one{stroke:%s;stroke-width:1.5}.ours{fill:%s}line.ours{stroke:%s;stroke-width:2}"+
			".else{fill:%s}line.else{stroke:%s;stroke-width:2}", ink, grid, ink, ours, ours, other, other)
	}
	return colours(lightInk, lightGrid, lightOurs, lightElse) +
		"@media(prefers-color-scheme:dark){" + colours(darkInk, darkGrid, darkOurs, darkElse) + "}"
}
