package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raftLogger passes Raft's messages on to slog, one level lower than Raft thinks of them: it warns of each election, also the first of
// a single voter. What it calls an error stays one, but once in ten seconds for each member: about one that is down it complains several
// times a second, for as long as that lasts.
type raftLogger struct {
	hclog.Logger // for what Raft never calls
	log          *slog.Logger
	complaints   *rarely
}

const complainEvery = 10 * time.Second

func newRaftLogger(log *slog.Logger) hclog.Logger {
	return &raftLogger{
		Logger: hclog.NewNullLogger(), log: log.With("part", "raft"), complaints: newRarely(complainEvery, time.Now),
	}
}

// electionMessage is Raft's when it hasn't heard of a leader for too long. It names the last one.
const electionMessage = "heartbeat timeout reached, starting election"

// Log implements hclog.Logger.
func (l *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	switch level {
	case hclog.Error:
		if l.complaints.due(msg + memberIn(args)) {
			l.write(slog.LevelError, msg, args)
		}
	case hclog.Warn:
		if msg == electionMessage && slices.Contains(args, any(raft.ServerID(""))) { // nobody led before: a start, and no loss
			l.write(slog.LevelDebug, msg, args)
			return
		}
		l.write(slog.LevelInfo, msg, args)
	case hclog.Info:
		l.write(slog.LevelDebug, msg, args)
	default: // every vote and every heartbeat
	}
}

func (l *raftLogger) write(level slog.Level, msg string, args []any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	for i, arg := range args {
		if f, ok := arg.(hclog.Format); ok {
			args[i] = fmt.Sprintf(f[0].(string), f[1:]...) //nolint:errcheck // hclog.Fmt takes the format as a string
		}
	}
	l.log.Log(context.Background(), level, msg, args...)
}

// Error implements hclog.Logger.
func (l *raftLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

// Warn implements hclog.Logger.
func (l *raftLogger) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Info implements hclog.Logger.
func (l *raftLogger) Info(msg string, args ...any) { l.Log(hclog.Info, msg, args...) }

// With implements hclog.Logger.
func (l *raftLogger) With(args ...any) hclog.Logger {
	return &raftLogger{Logger: l.Logger, log: l.log.With(args...), complaints: l.complaints}
}

// memberIn returns whom one of Raft's messages is about.
func memberIn(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "peer" || args[i] == "target" {
			return fmt.Sprint(args[i+1])
		}
	}
	return ""
}

// pebbleLogger passes the messages of a database on to slog. Pebble calls Fatalf when a commit failed, and relies on it not to return:
// what was and what wasn't written isn't known any more.
type pebbleLogger struct{ log *slog.Logger }

// Infof implements pebble.Logger.
func (l pebbleLogger) Infof(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

// Errorf implements pebble.Logger.
func (l pebbleLogger) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf implements pebble.Logger.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	format = strings.ReplaceAll(format, "%+v", "%v") // which would print the stack
	l.log.Error("the disk failed while writing, so this process ends: " + fmt.Sprintf(format, args...))
	os.Exit(1)
}
