// Chart turns a result of make rivals into a picture and tables: chart RESULT PICTURE.svg TABLES.md.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: chart RESULT PICTURE.svg TABLES.md")
		os.Exit(2)
	}
	if err := draw(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func draw(result, picture, tables string) error {
	text, err := os.ReadFile(result)
	if err != nil {
		return err
	}
	r, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", result, err)
	}
	if err := os.WriteFile(picture, []byte(svg(r)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(tables, []byte(markdown(r)), 0o644)
}
