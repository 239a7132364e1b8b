package wire

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// twenty are as many questions in one message, and their answers.
func twenty() (*Questions, *Answers) {
	asked, given := &Questions{}, &Answers{}
	for id := range uint64(20) {
		subject := fmt.Sprintf("customer-%010d", id)
		asked.List = append(asked.List, Asked{ID: id, Check: Question{Subject: subject, Permissions: []string{"newsletter/email"}}})
		answer := given.Add(id, 1)
		answer.Check.Revision, answer.Check.PolicyVersion, answer.Check.Age = "AQIDBAUGBwgJCgsMDQ4PEA", 3, 20*time.Millisecond
		answer.Check.Results[0] = Result{Permission: "newsletter/email", Answered: true, Reason: 1, CacheFor: time.Second}
	}
	return asked, given
}

// BenchmarkMessages compares with the generated code: an iteration is a message of twenty questions, or of their answers.
func BenchmarkMessages(b *testing.B) {
	asked, given := twenty()
	compareSpeed(b, "questions", asked, asked.message(), new(Questions), func() proto.Message { return new(consentv1.StreamCheckRequest) })
	compareSpeed(b, "answers", given, given.message(), new(Answers), func() proto.Message { return new(consentv1.StreamCheckResponse) })
}

func compareSpeed(b *testing.B, what string, ours message, theirs proto.Message, read message, empty func() proto.Message) {
	b.Helper()
	data, err := ours.append(nil)
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, do func() error) {
		b.Run(what+"/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	space := make([]byte, 0, 2*len(data))
	run("write/wire", func() error { _, err := ours.append(space); return err })
	run("write/generated", func() error { _, err := proto.MarshalOptions{}.MarshalAppend(space, theirs); return err })
	run("read/wire", func() error { return read.read(data) })
	run("read/generated", func() error { return proto.Unmarshal(data, empty()) })
}
