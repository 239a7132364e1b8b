package bench_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// emptyAt names the socket that this program serves an empty handler on, in place of running tests: what a process is compared with is one too.
const emptyAt = "CONSENTD_BENCH_EMPTY_AT"

func TestMain(m *testing.M) {
	if path := os.Getenv(emptyAt); path != "" {
		serveEmpty(path)
		return
	}
	os.Exit(m.Run())
}

// serveEmpty serves until standard input ends.
func serveEmpty(path string) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	srv := grpc.NewServer()
	consentv1.RegisterPermissionServiceServer(srv, newEmptyHandler())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		srv.Stop()
	}()
	if err := srv.Serve(listener); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// startEmptyProcess returns the target of an empty handler that is a process of its own.
func startEmptyProcess(b *testing.B) (target string) {
	b.Helper()
	path := filepath.Join(shortDir(b), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), emptyAt+"="+path), os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	await(b, "the empty handler to listen", func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
	return "unix://" + path
}

// StreamCheck answers all questions of a message with the same answer.
func (h emptyHandler) StreamCheck(stream consentv1.PermissionService_StreamCheckServer) error {
	for {
		question, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		reply := h.answerTo(question)
		for _, also := range question.GetAlso() {
			reply.Also = append(reply.Also, h.answerTo(also))
		}
		if err := stream.Send(reply); err != nil {
			return err
		}
	}
}

func (h emptyHandler) answerTo(question *consentv1.StreamCheckRequest) *consentv1.StreamCheckResponse {
	return &consentv1.StreamCheckResponse{CorrelationId: question.GetCorrelationId(), Result: &consentv1.StreamCheckResponse_Check{Check: h.reply}}
}
