package rivals

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// emptySocket names the socket in the environment of a process of this test binary that is the empty handler.
const emptySocket = "RIVALS_EMPTY_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(emptySocket); path != "" {
		fmt.Fprintln(os.Stderr, serveEmpty(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// emptyHandler decodes a question and encodes an answer as long as a Check's. It knows the answer by the last digit of the subject's number,
// which is the least that makes it right.
type emptyHandler struct {
	consentv1.UnimplementedPermissionServiceServer
	allow, deny *consentv1.CheckResponse
}

func (h emptyHandler) Check(_ context.Context, r *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	if digit := r.GetSubject()[len(r.GetSubject())-len("0@example.com")]; digit%2 == 0 {
		return h.allow, nil
	}
	return h.deny, nil
}

func emptyReply(answer *consentv1.Answer) *consentv1.CheckResponse {
	return &consentv1.CheckResponse{
		Results:  []*consentv1.CheckResult{{Permission: permission, Result: &consentv1.CheckResult_Answer{Answer: answer}}},
		Revision: "AQIDBAUGBwgJCgsMDQ4PEA", PolicyVersion: 1,
	}
}

// serveEmpty returns when the server fails. It has no interceptor and the settings that grpc.NewServer comes with.
func serveEmpty(path string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	if err != nil {
		return err
	}
	srv := grpc.NewServer()
	consentv1.RegisterPermissionServiceServer(srv, emptyHandler{
		allow: emptyReply(&consentv1.Answer{
			Decision: consentv1.Decision_DECISION_ALLOW, Reason: consentv1.Reason_REASON_CONSENT, Basis: consentv1.Basis_BASIS_CONSENT,
		}),
		deny: emptyReply(&consentv1.Answer{Decision: consentv1.Decision_DECISION_DENY}),
	})
	return srv.Serve(l)
}

// checks is a client of a PermissionService, as protoc-gen-go-grpc makes it, on one connection that all callers share.
type checks struct {
	consentv1.PermissionServiceClient
}

func startEmpty(tb testing.TB) checks {
	tb.Helper()
	path := filepath.Join(shortDir(tb), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), emptySocket+"="+path)
	start(tb, cmd, "unix", path)
	return dial(tb, "unix://"+path)
}

func dial(tb testing.TB, target string) checks {
	tb.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return checks{consentv1.NewPermissionServiceClient(conn)}
}

// unary asks one question a call.
func (c checks) unary() side {
	ctx := context.Background()
	return side{1, func(_ int, subjects []int, allowed []bool) error {
		reply, err := c.Check(ctx, &consentv1.CheckRequest{Subject: ids[subjects[0]], Permissions: []string{permission}})
		if err == nil {
			allowed[0], err = allows(reply.GetResults())
		}
		return err
	}}
}

// batch asks several questions a call.
func (c checks) batch() side {
	ctx := context.Background()
	return side{batch, func(_ int, subjects []int, allowed []bool) error {
		request := &consentv1.BatchCheckRequest{Permissions: []string{permission}}
		for _, n := range subjects {
			request.Questions = append(request.Questions, &consentv1.CheckQuestion{Subject: ids[n]})
		}
		reply, err := c.BatchCheck(ctx, request)
		if err != nil {
			return err
		}
		if len(reply.GetItems()) != len(subjects) {
			return fmt.Errorf("%d items, want %d", len(reply.GetItems()), len(subjects))
		}
		for i, item := range reply.GetItems() {
			if allowed[i], err = allows(item.GetResults()); err != nil {
				return err
			}
		}
		return nil
	}}
}

// allows reads the only result.
func allows(results []*consentv1.CheckResult) (bool, error) {
	if len(results) != 1 || results[0].GetAnswer() == nil {
		return false, fmt.Errorf("%v isn't one answer", results)
	}
	return results[0].GetAnswer().GetDecision() == consentv1.Decision_DECISION_ALLOW, nil
}
