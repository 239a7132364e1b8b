package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestRepeatedFaultIsLoggedOnce(t *testing.T) {
	var said bytes.Buffer
	stops := 0
	f := newFailure(slog.New(slog.NewTextHandler(&said, nil)), func() { stops++ })
	for range 1000 {
		f.report(errors.New("no space"))
	}
	f.report(errors.New("another"))
	if n := strings.Count(said.String(), "\n"); n != 2 {
		t.Errorf("two faults, one of them a thousand times, were logged %d times", n)
	}
	if err := <-f.told; stops != 1 || err.Error() != "no space" {
		t.Errorf("%v was told, and %d stops, want the first fault and one", err, stops)
	}
}
