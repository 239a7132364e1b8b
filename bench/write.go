package bench

import (
	"fmt"
	"io"
	"strings"
)

// A format is a way to write a report.
type format struct {
	name  string
	write func(io.Writer, *Report) error
}

var formats = []format{
	{"table", WriteTable},
	{"json", WriteJSON},
	{"csv", writeCSV},
	{"gobench", writeGobench},
	{"hgrm", writeHgrm},
}

// Formats returns the names of the formats that Write knows.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Write writes a report in one of Formats. It returns an error if it isn't one, or if w does.
func Write(w io.Writer, format string, r *Report) error {
	for _, f := range formats {
		if f.name == format {
			return f.write(w, r)
		}
	}
	return fmt.Errorf("%q isn't a format of reports: say one of %s", format, strings.Join(Formats(), ", "))
}
