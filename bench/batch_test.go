//go:build linux

package bench_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const (
	batchQuestions = 100
	batchCallers   = 8
)

// benchmarkBatch measures what a replica needs of its processors to answer batches of 100 questions about subjects drawn from all that it
// holds, and how long a batch takes. Eight callers ask over one connection through a unix socket. An iteration is a batch.
func benchmarkBatch(b *testing.B, replica *process) {
	batches := drawBatches(10_000, heldSubjects())
	b.Run(fmt.Sprintf("batch/held=%d", heldSubjects()), func(b *testing.B) {
		client := consentv1.NewPermissionServiceClient(replica.connect())
		if _, err := batches[0].ask(client); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		replica.costs(b, b.N*batchQuestions, func() []time.Duration { return askBatches(b, client, batches) })
	})
}

// askedBatch is a batch to ask for, and which of its subjects are allowed.
type askedBatch struct {
	request *consentv1.BatchCheckRequest
	numbers []int
}

func drawBatches(count, from int) []askedBatch {
	batches, numbers := make([]askedBatch, count), drawn(count*batchQuestions, from)
	for i := range batches {
		batches[i].numbers = numbers[i*batchQuestions : (i+1)*batchQuestions]
		batches[i].request = &consentv1.BatchCheckRequest{Permissions: []string{permission}}
		for _, n := range batches[i].numbers {
			batches[i].request.Questions = append(batches[i].request.Questions, &consentv1.CheckQuestion{Subject: subjectID(n)})
		}
	}
	return batches
}

// askBatches has the callers share b.N batches, and returns how long each took.
func askBatches(b *testing.B, client consentv1.PermissionServiceClient, batches []askedBatch) []time.Duration {
	took := make([]time.Duration, b.N)
	var all sync.WaitGroup
	for caller := range batchCallers {
		all.Go(func() {
			for n := caller; n < b.N; n += batchCallers {
				var err error
				if took[n], err = batches[n%len(batches)].ask(client); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return took
}

// ask has a batch answered, and returns how long that took.
func (a askedBatch) ask(client consentv1.PermissionServiceClient) (took time.Duration, err error) {
	began := time.Now()
	reply, err := client.BatchCheck(context.Background(), a.request)
	took = time.Since(began)
	if err != nil {
		return took, err
	}
	for i, item := range reply.GetItems() {
		want := consentv1.Decision_DECISION_ALLOW
		if a.numbers[i]%2 == 1 {
			want = consentv1.Decision_DECISION_DENY
		}
		if got := item.GetResults()[0].GetAnswer().GetDecision(); got != want {
			return took, fmt.Errorf("subject %d: %v, want %v", a.numbers[i], got, want)
		}
	}
	return took, nil
}
