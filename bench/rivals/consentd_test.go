package rivals

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consentd/consentd/client"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// consentd is a replica alone, as it is shipped, with the example shop's policy.
type consentd struct{ socket, address string }

// startConsentd starts one that knows the subjects.
func startConsentd(b *testing.B) consentd {
	b.Helper()
	dir := shortDir(b)
	c := consentd{socket: "unix://" + filepath.Join(dir, "s"), address: freeAddress(b)}
	binary, ready := filepath.Join(dir, "consentd"), filepath.Join(dir, "ready")
	buildConsentd(b, binary)
	cmd := exec.Command(binary, "serve", "--data-dir", filepath.Join(dir, "data"), "--listen", c.socket, "--listen", c.address,
		"--ops-listen", "127.0.0.1:0", "--ready-file", ready, "--policy", "../../examples/shop/policy.yaml")
	start(b, cmd, "tcp", c.address)
	await(b, "consentd to be ready", func() bool {
		_, err := os.Stat(ready)
		return err == nil
	})
	c.fill(b)
	return c
}

func buildConsentd(b *testing.B, path string) {
	b.Helper()
	out, err := exec.Command("go", "-C", "../..", "build", "-buildvcs=false", "-o", path, "./cmd/consentd").CombinedOutput()
	if err != nil {
		b.Fatalf("consentd can't be built: %v\n%s", err, out)
	}
}

// fill writes that the even subjects consented, and confirmed it.
func (c consentd) fill(b *testing.B) {
	b.Helper()
	conn, err := grpc.NewClient(c.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	at, scope := time.Now().Add(-time.Hour), &consentv1.Scope{Permissions: []string{permission}}
	records := consentv1.NewRecordServiceClient(conn)
	for from := 0; from < population; from += 500 {
		request := &consentv1.WriteEventsRequest{}
		for n := from; n < from+500; n += 2 {
			request.Events = append(request.Events, &consentv1.Event{
				Subject: ids[n], Kind: consentv1.EventKind_EVENT_KIND_GRANTED, OccurredAt: timestamppb.New(at), Scope: scope,
				Evidence: &consentv1.Evidence{NoticeVersion: 3, Method: consentv1.Method_METHOD_WEB_FORM, Source: "bench", Reference: "forms/1"},
			}, &consentv1.Event{
				Subject: ids[n], Kind: consentv1.EventKind_EVENT_KIND_CONFIRMED, OccurredAt: timestamppb.New(at.Add(time.Minute)), Scope: scope,
			})
		}
		if _, err := records.WriteEvents(ctx, request); err != nil {
			b.Fatal(err)
		}
	}
}

// unary is a Check a call, by the generated client.
func (c consentd) unary(b *testing.B, network string) side {
	b.Helper()
	return dial(b, map[string]string{"unix": c.socket, "tcp": c.address}[network]).unary()
}

func (c consentd) batch(b *testing.B) side {
	b.Helper()
	return dial(b, c.socket).batch()
}

// sdk has the callers share the stream of the Go SDK.
func (c consentd) sdk(b *testing.B, options ...client.Option) side {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	sdk, err := client.Dial(ctx, c.socket, options...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(sdk.Close)
	always := context.Background()
	return side{1, func(_ int, subjects []int, allowed []bool) error {
		answer, err := sdk.Check(always, client.Question{Subject: ids[subjects[0]], Permission: permission})
		allowed[0] = answer.Allowed
		return err
	}}
}

// near has the SDK answer from its near cache, which has asked about every subject once.
func (c consentd) near(b *testing.B) side {
	b.Helper()
	s := c.sdk(b, client.WithNearCache(64<<20))
	for n := range ids {
		if err := s.ask(0, []int{n}, make([]bool, 1)); err != nil {
			b.Fatal(err)
		}
	}
	return s
}
