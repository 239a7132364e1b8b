package wire

import (
	"strings"
	"testing"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// TestReadsAnyBytes as the generated code does, message after message into the same memory: fields that come twice, in any order, of the wrong
// type or unknown, numbers and lengths that are longer than they need be, or too long, groups, and texts that are none.
func TestReadsAnyBytes(t *testing.T) {
	question, questions, reply, answers, batch := new(Question), new(Questions), new(Reply), new(Answers), new(BatchReply)
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			data := drawFields(t, 4)
			agree(t, data, question, new(consentv1.CheckRequest), (*Question).set)
			agree(t, data, questions, new(consentv1.StreamCheckRequest), (*Questions).setAll)
			agree(t, data, reply, new(consentv1.CheckResponse), (*Reply).Set)
			agree(t, data, answers, new(consentv1.StreamCheckResponse), (*Answers).setAll)
			agree(t, data, batch, new(consentv1.BatchCheckResponse), (*BatchReply).set)
		}
	})
}

// TestWhatComesTwiceIsMerged as the generated code does, and what is beyond a time.Duration is the longest there is.
func TestWhatComesTwiceIsMerged(t *testing.T) {
	frame := func(field protowire.Number, parts ...string) string {
		b := protowire.AppendTag(nil, field, protowire.BytesType)
		return string(protowire.AppendString(b, strings.Join(parts, "")))
	}
	const second, fifth, ages = "\x08\x01", "\x10\x05", "\x08\x80\x80\x80\x80\x80\x80\x01"
	times := frame(5, second) + frame(5, fifth)
	kept, later := frame(6, second), frame(6, fifth)
	for name, data := range map[string]string{
		"consistency":             frame(6, frame(1, "r")) + frame(6),
		"check":                   frame(2, frame(1, "t")) + frame(2),
		"age":                     frame(4, second) + frame(4, fifth),
		"long age":                frame(4, ages),
		"next change":             frame(1, frame(2, times)),
		"cache for":               frame(1, frame(2, kept, later)),
		"answer":                  frame(1, frame(2, kept), frame(2, later)),
		"answer of a stream":      frame(2, frame(1, frame(2, kept), frame(2, later))),
		"reply of a stream":       frame(2, frame(2, "r")) + frame(2),
		"answer of a batch":       frame(1, frame(1, frame(2, kept), frame(2, later))),
		"answer, and then status": frame(1, frame(2, kept), frame(3)),
		"status, and then answer": frame(1, frame(3), frame(2, kept)),
	} {
		t.Run(name, func(t *testing.T) { agreeOnAll(t, []byte(data)) })
	}
}

// TestNeitherReplyNorStatus is as a status that says nothing, and no reply.
func TestNeitherReplyNorStatus(t *testing.T) {
	var answers Answers
	if err := answers.read(nil); err != nil || len(answers.List) != 1 || answers.List[0].Status == nil {
		t.Errorf("%+v, error %v", answers.List, err)
	}
}

// drawFields draws the fields of a message, each of which may be a message of so many levels.
func drawFields(t *rapid.T, depth int) []byte {
	var b []byte
	for range rapid.IntRange(0, 4).Draw(t, "fields") {
		field := rapid.SampledFrom([]protowire.Number{1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 6, 7, 16, 1000}).Draw(t, "field")
		b = drawField(t, b, field, depth)
	}
	return b
}

func drawField(t *rapid.T, b []byte, field protowire.Number, depth int) []byte {
	switch kind := rapid.IntRange(0, 14).Draw(t, "kind"); {
	case kind == 0:
		b = protowire.AppendTag(b, field, protowire.StartGroupType)
		if b = append(b, drawFields(t, 0)...); rapid.Bool().Draw(t, "ends") {
			b = protowire.AppendTag(b, field, protowire.EndGroupType)
		}
		return b
	case kind == 1:
		return protowire.AppendFixed32(protowire.AppendTag(b, field, protowire.Fixed32Type), 1)
	case kind == 2: // a tag that is longer than it need be
		return drawFramed(t, append(b, byte(field)<<3|framed|0x80, 0), "x")
	case kind <= 5:
		return drawNumber(t, protowire.AppendTag(b, field, protowire.VarintType))
	case kind <= 8 || depth == 0:
		text := rapid.SampledFrom([]string{"", "a", "\x01\x02", "ß", "\xff", "AQIDBAUGBwgJCgsMDQ4PEA"}).Draw(t, "text")
		return drawFramed(t, protowire.AppendTag(b, field, protowire.BytesType), text)
	default:
		return drawFramed(t, protowire.AppendTag(b, field, protowire.BytesType), string(drawFields(t, depth-1)))
	}
}

func drawFramed(t *rapid.T, b []byte, text string) []byte {
	n := uint64(len(text))
	switch rapid.IntRange(0, 60).Draw(t, "length") {
	case 0:
		n = 1 << 63
	case 1:
		n++
	case 2:
		return append(append(b, byte(n)|0x80, byte(n>>7)|0x80, 0), text...)
	}
	return append(protowire.AppendVarint(b, n), text...)
}

func drawNumber(t *rapid.T, b []byte) []byte {
	switch rapid.IntRange(0, 9).Draw(t, "number") {
	case 0:
		return append(b, 0x83, 0x80, 0)
	case 1:
		return append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, rapid.Byte().Draw(t, "tenth"))
	case 2:
		return append(b, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1)
	case 3:
		return append(b, 0xff)
	case 4:
		return protowire.AppendVarint(b, rapid.Uint64().Draw(t, "n"))
	default:
		return protowire.AppendVarint(b, rapid.Uint64Range(0, 5).Draw(t, "n"))
	}
}
