package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/consentd/consentd/client"
	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/server"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const policy = `
purposes:
  newsletter:
    direct_marketing: true
    channels:
      email: {bases: [consent]}
      post: {bases: [consent]}
`

// A denial is an answer with a reason. Not knowing is an error, and never a permission.
func ExampleClient_Check() {
	ctx, target, stop := replica()
	defer stop()
	c, err := client.Dial(ctx, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for _, subject := range []string{"anna@example.com", "ben@example.com"} {
		answer, err := c.Check(ctx, client.Question{Subject: subject, Permission: "newsletter/email"})
		switch {
		case errors.Is(err, consent.ErrStale), errors.Is(err, consent.ErrNotReady):
			fmt.Println("nobody knows now; don't send")
		case err != nil:
			fmt.Println("wrongly asked:", err)
		default:
			fmt.Println(subject, answer.Allowed, answer.Reason)
		}
	}
	// Output:
	// anna@example.com true CONSENT
	// ben@example.com false NO_CONSENT
}

// Who only branches asks Allowed, which is false on every error.
func ExampleClient_Allowed() {
	ctx, target, stop := replica()
	defer stop()
	c, err := client.Dial(ctx, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Allowed(ctx, "anna@example.com", "newsletter/email"))
	fmt.Println(c.Allowed(ctx, "anna@example.com", "no/such"))
	// Output:
	// true
	// false
}

// Several permissions of one subject cost one lookup.
func ExampleClient_CheckAll() {
	ctx, target, stop := replica()
	defer stop()
	c, err := client.Dial(ctx, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	permissions := []string{"newsletter/email", "newsletter/post", "newsletter/fax"}
	results, err := c.CheckAll(ctx, client.Question{Subject: "anna@example.com"}, permissions...)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, r := range results {
		if r.Err != nil {
			fmt.Println(permissions[i], "unknown:", errors.Is(r.Err, client.ErrUnknownPermission))
			continue
		}
		fmt.Println(permissions[i], r.Allowed)
	}
	// Output:
	// newsletter/email true
	// newsletter/post false
	// newsletter/fax unknown: true
}

// A batch is answered from one view of the data.
func ExampleClient_BatchCheck() {
	ctx, target, stop := replica()
	defer stop()
	c, err := client.Dial(ctx, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	results, err := c.BatchCheck(ctx, []client.Question{
		{Subject: "anna@example.com", Permission: "newsletter/email"},
		{Subject: "ben@example.com", Permission: "newsletter/post"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Println(r.Err == nil && r.Allowed)
	}
	// Output:
	// true
	// false
}

// A segment of any length is read as it is needed, and answered chunk by chunk.
func ExampleClient_CheckSegment() {
	ctx, target, stop := replica()
	defer stop()
	c, err := client.Dial(ctx, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	subjects := slices.Values([]string{"anna@example.com", "ben@example.com"})
	for chunk, err := range c.CheckSegment(ctx, client.Segment{Permission: "newsletter/email"}, subjects) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for i, subject := range chunk.Subjects {
			fmt.Println(subject, chunk.Allowed(i), chunk.Reason(i))
		}
	}
	// Output:
	// anna@example.com true CONSENT
	// ben@example.com false NO_CONSENT
}

// What a client wrote is in every answer that it gets afterwards, from whichever replica.
func ExampleClient_Write() {
	ctx, target, stop := replica()
	defer stop()
	c, err := client.Dial(ctx, target, client.WithNearCache(16<<20))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Allowed(ctx, "anna@example.com", "newsletter/email"))
	written, err := c.Write(ctx, &consentv1.WriteEventsRequest{Events: []*consentv1.Event{{
		Subject: "anna@example.com", Kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN,
		Scope: &consentv1.Scope{Permissions: []string{"newsletter/email"}},
	}}})
	var failed *client.WriteError
	switch {
	case errors.As(err, &failed) && failed.Unknown:
		fmt.Println("it may have happened: repeat it under", failed.RequestID)
	case err != nil:
		fmt.Println("nothing was written:", err)
	default:
		fmt.Println(written.GetEffects()[0])
	}
	fmt.Println(c.Allowed(ctx, "anna@example.com", "newsletter/email"))
	// Output:
	// true
	// EFFECT_APPLIED
	// false
}

// Explain says what stands against a permission, and what would mend that.
func ExampleClient_Explain() {
	ctx, target, stop := replica()
	defer stop()
	c, err := client.Dial(ctx, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	explained, err := c.Explain(ctx, &consentv1.ExplainRequest{Subject: "ben@example.com", Permissions: []string{"newsletter/email"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, failed := range explained.GetExplanations()[0].GetFailed() {
		fmt.Println(failed.GetReason(), failed.GetRemedy())
	}
	// Output:
	// REASON_NO_CONSENT REMEDY_USE_ANOTHER_CHANNEL
}

// With a near cache, a check is answered from the process's own memory, and is never staler than promised.
func ExampleWithNearCache() {
	ctx, target, stop := replica()
	defer stop()
	c, err := client.Dial(ctx, target, client.WithNearCache(64<<20), client.WithMaxStaleness(time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	answer, err := c.Check(ctx, client.Question{Subject: "anna@example.com", Permission: "newsletter/email"})
	fmt.Println(answer.Allowed, answer.Age < time.Second, err)
	// Output:
	// true true <nil>
}

// Clients of several tenants share everything but the tenant.
func ExampleClient_ForTenant() {
	ctx, target, stop := replica()
	defer stop()
	c, err := client.Dial(ctx, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	_, err = c.ForTenant("other-brand").Check(ctx, client.Question{Subject: "anna@example.com", Permission: "newsletter/email"})
	fmt.Println(errors.Is(err, consent.ErrUnknownTenant))
	// Output:
	// true
}

// What leaves the machine is encrypted, or somebody has said that it needn't be.
func ExampleConnect() {
	_, err := client.Connect("10.0.0.1:7433,10.0.0.2:7433", client.ConnOptions{})
	fmt.Println(errors.Is(err, client.ErrPlaintext))
	conn, err := client.Connect("dns:///consentd.internal:7433", client.ConnOptions{Plaintext: true})
	fmt.Println(err)
	fmt.Println(conn.Close())
	// Output:
	// true
	// <nil>
	// <nil>
}

// replica runs a replica of which Anna has subscribed to the newsletter, and returns where it listens. A program dials what "consentd serve" or
// "consentd sidecar" says.
func replica() (ctx context.Context, target string, stop func()) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	dir := must(os.MkdirTemp("", "consentd"))
	quiet := slog.New(slog.DiscardHandler)
	node := must(cluster.Open(ctx, cluster.Options{DataDir: filepath.Join(dir, "data"), Logger: quiet}))
	for node.Ready() != nil {
		<-time.After(time.Millisecond)
	}
	must2(node.PutPolicy(ctx, consent.PolicyPut{Tenant: "default", RequestID: requestID(), Document: []byte(policy)}))
	s := must(server.New(server.Options{State: node, Records: node, Policies: node, Watching: node, Ready: node.Ready, Logger: quiet}))
	listener := must(new(net.ListenConfig).Listen(ctx, "unix", filepath.Join(dir, "s")))
	served := make(chan error)
	go func() { served <- s.Serve(listener) }()
	target = "unix://" + filepath.Join(dir, "s")
	subscribe(ctx, target)
	return ctx, target, func() {
		err := errors.Join(s.Drain(ctx), <-served, node.Close(), os.RemoveAll(dir))
		if cancel(); err != nil {
			panic(err)
		}
	}
}

func subscribe(ctx context.Context, target string) {
	c := must(client.Dial(ctx, target))
	defer c.Close()
	must(c.Write(ctx, &consentv1.WriteEventsRequest{Events: []*consentv1.Event{{
		Subject: "anna@example.com", Kind: consentv1.EventKind_EVENT_KIND_GRANTED, OccurredAt: timestamppb.New(time.Now().Add(-time.Hour)),
		Scope:    &consentv1.Scope{Permissions: []string{"newsletter/email"}},
		Evidence: &consentv1.Evidence{NoticeVersion: 1, Method: consentv1.Method_METHOD_WEB_FORM, Source: "account", Reference: "forms/1"},
	}}}))
}

func requestID() consent.RequestID { return consent.RequestID(uuid.Must(uuid.NewV7())) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func must2[A, B any](a A, _ B, err error) A { return must(a, err) }
