package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Every connection between replicas begins with a preface of the one who called:
//
//	"cnsntd\x00p", version, kind: 8 bytes, a byte, a byte
//	cluster id, id of the caller, id of the one called: a length in one byte and the text, each
//
// The answer is a zero byte for welcome, or a length in one byte and a reason in words. After a welcome the connection is the kind's.
const (
	prefaceMagic   = "cnsntd\x00p"
	prefaceVersion = 1
	kindRaft       = 'r'
	kindPeers      = 'g' // gRPC
	maxReason      = 255
)

var errGarbage = errors.New("the caller sent something else than a replica of consentd does")

// preface is what a connection begins with.
type preface struct {
	kind              byte
	cluster, from, to string
}

// bytes returns what is sent for a preface.
func (p preface) bytes() []byte {
	sent := append([]byte(prefaceMagic), prefaceVersion, p.kind)
	for _, text := range []string{p.cluster, p.from, p.to} {
		sent = append(sent, byte(len(text)))
		sent = append(sent, text...)
	}
	return sent
}

// readPreface reads a preface, and not a byte more. Errors that tell what was wrong with it are written for the one who sent it.
func readPreface(r io.Reader) (preface, error) {
	var head [len(prefaceMagic) + 2]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			return preface{}, errGarbage
		}
		return preface{}, err
	}
	version, kind := head[len(prefaceMagic)], head[len(prefaceMagic)+1]
	switch {
	case bytes.HasPrefix(head[:], []byte{0x16, 0x03}): // a TLS handshake
		return preface{}, errIsTLS
	case string(head[:len(prefaceMagic)]) != prefaceMagic:
		return preface{}, errGarbage
	case version != prefaceVersion:
		return preface{}, fmt.Errorf("the caller speaks version %d of the replicas' protocol, and this replica version %d: run the same "+
			"version of consentd on both", version, prefaceVersion)
	case kind != kindRaft && kind != kindPeers:
		return preface{}, fmt.Errorf("the caller wants a connection of kind %q, which this version of consentd doesn't know", kind)
	}
	p := preface{kind: kind}
	for _, name := range []*string{&p.cluster, &p.from, &p.to} {
		var err error
		if *name, err = readName(r); err != nil {
			return preface{}, err
		}
	}
	return p, nil
}

// readName reads an id of a preface.
func readName(r io.Reader) (string, error) {
	text, err := readText(r)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "", errGarbage
	case err != nil:
		return "", err
	case !nodeIDs.MatchString(text):
		return "", errGarbage
	}
	return text, nil
}

func readText(r io.Reader) (string, error) {
	var length [1]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", err
	}
	text := make([]byte, length[0])
	_, err := io.ReadFull(r, text)
	return string(text), err
}

// writeWelcome answers a preface with a welcome.
func writeWelcome(w io.Writer) error {
	_, err := w.Write([]byte{0})
	return err
}

// writeRefusal answers a preface with a reason why not.
func writeRefusal(w io.Writer, reason string) error {
	for len(reason) > maxReason {
		_, size := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-size]
	}
	_, err := w.Write(append([]byte{byte(len(reason))}, reason...))
	return err
}

// readAnswer reads the answer to a preface, and not a byte more. A refusal is an error with its reason.
func readAnswer(r io.Reader) error {
	reason, err := readText(r)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it closed the connection without an answer")
	case err != nil:
		return err
	case reason != "":
		return fmt.Errorf("it refused the connection: %q", reason)
	}
	return nil
}
