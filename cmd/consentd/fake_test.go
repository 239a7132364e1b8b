package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// shortDir is for sockets, whose paths may have about a hundred characters.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "consentd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// startFake serves what a real server hardly ever answers.
func startFake(t *testing.T, register func(*grpc.Server)) (addr string) {
	t.Helper()
	path := filepath.Join(shortDir(t), "fake.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	fake := grpc.NewServer()
	register(fake)
	go fake.Serve(listener)
	t.Cleanup(fake.Stop)
	return "unix://" + path
}

// refusal is an error as the server gives them.
func refusal(t *testing.T, code codes.Code, reason, message string, more ...protoadapt.MessageV1) error {
	t.Helper()
	details := append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Domain: "consentd", Reason: reason}}, more...)
	s, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}
