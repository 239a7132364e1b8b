package bench

import (
	"fmt"
	"math"
	"strings"
)

// The picture's size, and the part of it within the axes, in the units of its viewBox.
const (
	plotWidth, plotHeight            = 720.0, 300.0
	plotLeft, plotRight              = 66.0, 704.0
	plotTop, plotBottom              = 14.0, 252.0
	plotStyles                       = 6 // of lines, in page.css
	mostYTicks, mostXTicks, mostDots = 7, 8, 600
)

// mostShown is the largest value that has a place in a picture. Only broken reports have larger ones.
const mostShown = 1e15

// leastShown is the smallest value above 0 that a linear axis is made for.
const leastShown = 1e-9

// A plot is a picture as the page's template draws it.
type plot struct {
	ID, Title, Desc string
	X, Y            plotAxis
	Lines           []plotLine
}

type plotAxis struct {
	Label string
	Ticks []plotTick
}

// plotTick is a mark of an axis, at a place of the picture.
type plotTick struct {
	At   float64
	Text string
}

// plotLine is a line of the picture. Those of one style belong together.
type plotLine struct {
	Name  string
	Style string
	Path  string
}

// dot is what a line goes through, in what is measured.
type dot struct{ x, y float64 }

// curve is a line before it has a place in the picture.
type curve struct {
	name, style string
	dots        []dot
}

// scale gives values their place on an axis.
type scale struct {
	label    string
	ticks    []float64 // in ascending order
	from, to float64
	text     func(float64) string
	position func(float64) float64 // of which the place is a linear function
}

func identity(v float64) float64 { return v }

// at returns the place of a value between two ends.
func (s scale) at(v, start, end float64) float64 {
	from, to := s.position(s.from), s.position(s.to)
	return math.Round(10*(start+(s.position(v)-from)/(to-from)*(end-start))) / 10
}

func (s scale) axis(start, end float64) plotAxis {
	a := plotAxis{Label: s.label}
	for _, v := range s.ticks {
		a.Ticks = append(a.Ticks, plotTick{s.at(v, start, end), s.text(v)})
	}
	return a
}

// holds says whether a value has a place on the axis.
func (s scale) holds(v float64) bool {
	at := s.position(v)
	return v <= mostShown && !math.IsNaN(at) && !math.IsInf(at, 0)
}

// linearScale goes from 0 to at least the largest value, with marks at round values.
func linearScale(label string, largest float64, most int, text func(float64) string) scale {
	if !(largest > leastShown) {
		largest = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(largest/float64(most))))
	for _, times := range []float64{1, 2, 5, 10} {
		if largest/(step*times) <= float64(most) {
			step *= times
			break
		}
	}
	s := scale{label: label, text: text, position: identity}
	for n := range int(math.Ceil(largest/step)) + 1 {
		s.ticks = append(s.ticks, float64(n)*step)
	}
	s.to = s.ticks[len(s.ticks)-1]
	return s
}

// logSteps are the marks of each power of ten, the most first.
var logSteps = [][]float64{{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8}, {1, 1.5, 2, 3, 5, 7}, {1, 2, 5}, {1}}

// logScale goes from at most the smallest value to at least the largest, both above 0, with as many round marks as there is place for.
func logScale(label string, smallest, largest float64, text func(float64) string) scale {
	s := scale{label: label, text: text, position: math.Log10}
	for _, times := range logSteps {
		s.ticks = logTicks(smallest, largest, times)
		if len(s.ticks) <= mostYTicks {
			break
		}
	}
	s.from, s.to = s.ticks[0], s.ticks[len(s.ticks)-1]
	if every := (len(s.ticks) + mostYTicks - 1) / mostYTicks; every > 1 {
		var fewer []float64
		for n := 0; n < len(s.ticks); n += every {
			fewer = append(fewer, s.ticks[n])
		}
		s.ticks = fewer
	}
	return s
}

// logTicks returns at least two values, the first at most the smallest and the last at least the largest.
func logTicks(smallest, largest float64, times []float64) []float64 {
	var ticks []float64
	for power := math.Floor(math.Log10(smallest)); ; power++ {
		for _, t := range times {
			v := t * math.Pow(10, power)
			if v <= smallest {
				ticks = ticks[:0]
			}
			if ticks = append(ticks, v); v >= largest && len(ticks) > 1 {
				return ticks
			}
		}
	}
}

// draw gives the curves their places.
func draw(id, title, desc string, x, y scale, curves []curve) plot {
	p := plot{ID: id, Title: title, Desc: desc, X: x.axis(plotLeft, plotRight), Y: y.axis(plotBottom, plotTop)}
	for _, c := range curves {
		if path := pathOf(c.dots, x, y); path != "" {
			p.Lines = append(p.Lines, plotLine{c.name, c.style, path})
		}
	}
	return p
}

// pathOf returns the path through the dots. Where one has no place, as a latency of nothing, the line is interrupted.
func pathOf(dots []dot, x, y scale) string {
	var path strings.Builder
	pen := "M"
	for _, d := range dots {
		if !x.holds(d.x) || !y.holds(d.y) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%g %g", pen, x.at(d.x, plotLeft, plotRight), y.at(d.y, plotBottom, plotTop))
		if pen == "M" {
			path.WriteString("h0") // one dot alone is seen
		}
		pen = "L"
	}
	return path.String()
}

// bounds returns the smallest and the largest value above 0 of the curves, or a span around 1 if there is none.
func bounds(curves []curve) (smallest, largest float64) {
	smallest, largest = math.Inf(1), 0
	for _, c := range curves {
		for _, d := range c.dots {
			if d.y > 0 && d.y <= mostShown {
				smallest, largest = min(smallest, d.y), max(largest, d.y)
			}
		}
	}
	if largest == 0 {
		return 1, 1
	}
	return max(smallest, 1e-3), max(largest, 1e-3) // a nanosecond, or what is as good as nothing
}

func lineStyle(n int) string { return fmt.Sprintf("line-%d", n%plotStyles) }
