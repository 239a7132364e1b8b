package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"text/tabwriter"

	yamlv3 "go.yaml.in/yaml/v3"
)

// format is how a command prints its data.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatYAML  format = "yaml"
)

// String is the value of the flag.
func (f *format) String() string { return string(*f) }

// Set takes one of the formats.
func (f *format) Set(value string) error {
	switch format(value) {
	case formatTable, formatJSON, formatYAML:
		*f = format(value)
		return nil
	}
	return fmt.Errorf("choose %s, %s or %s", formatTable, formatJSON, formatYAML)
}

// Type names the value in the help.
func (*format) Type() string { return "format" }

// print writes data to standard output in the format asked for. Columns of the table are separated by tabs.
func (c *cli) print(data any, table func(io.Writer)) error {
	switch c.format {
	case formatJSON:
		text, err := toJSON(data)
		return c.write(text, err)
	case formatYAML:
		text, err := toYAML(data)
		return c.write(text, err)
	}
	var text bytes.Buffer
	err := tabulate(&text, table)
	return c.write(text.Bytes(), err)
}

// tabulate aligns columns that are separated by tabs.
func tabulate(w io.Writer, table func(io.Writer)) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	table(columns)
	return columns.Flush()
}

func (c *cli) write(text []byte, err error) error {
	if err != nil {
		return err
	}
	if _, err := c.stdout.Write(text); err != nil {
		return fmt.Errorf("standard output can't be written: %w", err)
	}
	return nil
}

// messagef writes a message to standard error.
func (c *cli) messagef(text string, args ...any) {
	fmt.Fprintf(c.stderr, text+"\n", args...)
}

func toJSON(data any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(data)
	return text.Bytes(), err
}

// toYAML prints the same data in the same order as toJSON: JSON is YAML, written in another style.
func toYAML(data any) ([]byte, error) {
	text, err := toJSON(data)
	if err != nil {
		return nil, err
	}
	var document yamlv3.Node
	if err := yamlv3.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	restyle(&document)
	var out bytes.Buffer
	encoder := yamlv3.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

// oldBool are strings that YAML 1.1 takes for true or false: the country NO keeps its quotes.
var oldBool = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off)$`)

func restyle(node *yamlv3.Node) {
	if len(node.Content) > 0 || !oldBool.MatchString(node.Value) {
		node.Style = 0
	}
	for _, child := range node.Content {
		restyle(child)
	}
}
