package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag for a number of bytes, written with its unit.
type byteSize int64

// byteUnits are the units, the largest first.
var byteUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String writes a whole number of the largest unit that it is one of.
func (b *byteSize) String() string {
	for _, unit := range byteUnits {
		if n := int64(*b); n > 0 && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Set takes a whole number with a unit.
func (b *byteSize) Set(text string) error {
	for _, unit := range byteUnits {
		digits, found := strings.CutSuffix(text, unit.name)
		n, err := strconv.ParseInt(digits, 10, 64)
		if found && err == nil && n > 0 && n <= math.MaxInt64/unit.bytes {
			*b = byteSize(n * unit.bytes)
			return nil
		}
	}
	return fmt.Errorf("%q is no size: write a whole number with KiB, MiB or GiB, as 512MiB or 2GiB", text)
}

// Type is what the help calls it.
func (b *byteSize) Type() string { return "size" }
