package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestDurationsInLogs(t *testing.T) {
	var log bytes.Buffer
	(&cli{process: process{stderr: &log}}).newLogger(slog.LevelInfo).Warn("late", "given", 10*time.Second)
	if got := log.String(); !strings.Contains(got, `"given":"10s"`) {
		t.Error(got)
	}
}
