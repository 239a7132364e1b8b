package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// quantityText writes a value for people, to three digits or so: 84.3 µs, 9,998/s, 12 %.
func quantityText(value float64, unit string) string {
	switch {
	case unit == unitMicros:
		return timeText(value)
	case unit == "" || strings.HasPrefix(unit, "/"):
		return numberText(value) + plain(unit)
	}
	return numberText(value) + " " + plain(unit)
}

// timeText writes microseconds in the unit that suits them.
func timeText(value float64) string {
	switch {
	case value < 1e3:
		return numberText(value) + " µs"
	case value < 1e6:
		return numberText(value/1e3) + " ms"
	}
	return numberText(value/1e6) + " s"
}

// secondsText writes seconds as Go writes a duration, without what nobody reads.
func secondsText(seconds float64) string {
	if seconds < 120 || seconds > 1e9 {
		return numberText(seconds) + " s"
	}
	whole := int64(math.Round(seconds))
	if whole < 3600 {
		return fmt.Sprintf("%d min %02d s", whole/60, whole%60)
	}
	return fmt.Sprintf("%d h %02d min", whole/3600, whole/60%60)
}

// numberText writes a number with three digits or more, the thousands set apart.
func numberText(value float64) string {
	size := math.Abs(value)
	switch {
	case size >= 1e15:
		return strconv.FormatFloat(value, 'g', 4, 64)
	case size >= 100 || value == math.Trunc(value):
		return withCommas(strconv.FormatFloat(value, 'f', 0, 64))
	case size >= 10:
		return strconv.FormatFloat(value, 'f', 1, 64)
	case size >= 1:
		return strconv.FormatFloat(value, 'f', 2, 64)
	}
	return strconv.FormatFloat(value, 'g', 3, 64)
}

// withCommas sets the thousands of a whole number apart.
func withCommas(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return sign + digits
}

// shareText writes a share of 1 as a percentage.
func shareText(share float64) string {
	return numberText(100*share) + " %"
}

// spreadText writes how far the runs are from each other. Of a count, which is small when all is well, that says nothing.
func spreadText(s Spread, unit string) string {
	if unit == unitRequests {
		return ""
	}
	return "± " + strconv.FormatFloat(100*s.Relative(), 'f', 1, 64) + " %"
}

// plural returns the noun for so many.
func plural(noun string, n int) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// plain takes from a text of others what could move a terminal's cursor or break a line.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
}

// phrases joins those that say something.
func phrases(between string, all ...string) string {
	var said []string
	for _, one := range all {
		if one = strings.TrimSpace(plain(one)); one != "" {
			said = append(said, one)
		}
	}
	return strings.Join(said, between)
}
