package consent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const maxPolicyBytes = 1 << 20

// node is a value of a YAML document, and where it stands.
type node struct {
	*yaml.Node
	path string
}

func (n node) place() place { return place{max(n.Line, 1), max(n.Column, 1), n.path} }

func (n node) isNull() bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// under returns the path of a key.
func (n node) under(key string) string {
	if n.path == "" {
		return key
	}
	return n.path + "." + key
}

// what says what a value is, for a fault's message.
func (n node) what() string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.isNull():
		return "nothing"
	case n.ShortTag() == "!!str":
		return "the text " + quoted(n.Value)
	default:
		return quoted(n.Value)
	}
}

// quoted returns a text of the document, shortened and without what would spoil a line.
func quoted(text string) string {
	const most = 40
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strconv.Quote(text)
}

// readYAML returns the root of the one document that there has to be.
func readYAML(document []byte, f *faults) (root node, ok bool) {
	first := place{line: 1, column: 1}
	if len(document) > maxPolicyBytes {
		f.add(first, "the document has %d bytes, which is more than %d: split it over several tenants, or shorten its texts",
			len(document), maxPolicyBytes)
		return root, false
	}
	if at := invalidUTF8(document); at >= 0 {
		f.add(place{line: lineOf(document, at), column: 1}, "the document isn't UTF-8: save it as UTF-8")
		return root, false
	}
	documents, err := decodeYAML(document)
	if err != nil {
		f.add(syntaxError(document, err))
		return root, false
	}
	if len(documents) == 0 {
		f.add(first, "the document is empty: declare at least one purpose under purposes")
		return root, false
	}
	if len(documents) > 1 {
		f.add(node{Node: documents[1]}.place(), "a second document begins here: put one policy, without a line of ---")
		return root, false
	}
	root = node{Node: documents[0].Content[0]}
	before := len(*f)
	refuseReferences(root.Node, f)
	return root, len(*f) == before
}

// decodeYAML returns the documents of a stream, and no more than two of them. A policy comes from outside and is read again by every
// replica, so a panic of the library on it mustn't end the process.
func decodeYAML(document []byte) (documents []*yaml.Node, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			documents, err = nil, fmt.Errorf("yaml: %v", cause)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(document))
	for len(documents) < 2 {
		var n yaml.Node
		if err := decoder.Decode(&n); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if len(n.Content) > 0 {
			documents = append(documents, &n)
		}
	}
	return documents, nil
}

// countedFromZero are the complaints of the library's parser, which counts lines from zero. Its scanner counts from one.
var countedFromZero = []string{
	"did not find expected ',' or ", "did not find expected '-' indicator", "did not find expected key",
	"did not find expected node content", "did not find expected <",
}

// syntaxError returns where a document isn't YAML, and why, as far as the library says so.
func syntaxError(document []byte, err error) (at place, format, message string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	at = place{line: 1, column: 1}
	if rest, found := strings.CutPrefix(text, "line "); found {
		number, reason, _ := strings.Cut(rest, ": ")
		if line, err := strconv.Atoi(number); err == nil {
			if slices.ContainsFunc(countedFromZero, func(c string) bool { return strings.HasPrefix(reason, c) }) {
				line++
			}
			at.line, text = min(max(line, 1), lineOf(document, len(document))), reason
		}
	}
	return at, "this isn't YAML, here or nearby: %s", text
}

func invalidUTF8(document []byte) int {
	for at := 0; at < len(document); {
		r, size := utf8.DecodeRune(document[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
	return -1
}

// lineOf returns the line that an offset lies in, by what YAML takes for the end of a line.
func lineOf(document []byte, offset int) int {
	before, line := document[:offset], 1
	for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		line += bytes.Count(before, []byte(end))
	}
	return line - bytes.Count(before, []byte("\r\n"))
}

// refuseReferences refuses what makes a value mean something else than it says: anchors, aliases, merges, and tags. A policy is read by
// people, and an alias of aliases can be as large as it likes.
func refuseReferences(n *yaml.Node, f *faults) {
	at := node{Node: n}.place()
	switch {
	case n.Kind == yaml.AliasNode:
		f.add(at, "*%.40s is an alias: write the value itself", n.Value)
		return
	case n.Anchor != "":
		f.add(at, "&%.40s is an anchor: leave it out, and write the value where it is needed", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		f.add(at, "%.40s is a tag: leave it out", n.Tag)
	}
	for _, child := range n.Content {
		refuseReferences(child, f)
	}
}
