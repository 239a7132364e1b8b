package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raftLogger passes Raft's messages on to slog, as far as they are news to whoever runs a replica. Raft warns of each election and each
// hand-over, which are told as who leads (leader.proclaim), so these are for debugging. That another replica can't be reached is one
// warning in ten seconds for each, whatever Raft was about: it complains several times a second, for as long as that lasts. What else it
// calls an error stays one, as rarely.
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

var (
	// ordinary is what Raft warns of, or calls an error, at each start, election, hand-over or end.
	ordinary = []string{
		"heartbeat timeout reached, starting election", "Election timeout reached, restarting election", "new leader elected, stepping down",
		"failed to contact", "failed to contact quorum of nodes, stepping down", "peer has newer term, stopping replication",
		"peer sees incorrect leader", "appendEntries rejected, sending older logs", "failed to get previous log", "previous log term mis-match",
		"clearing log suffix", "no known peers, aborting election", "failed to decode incoming command", "failed to flush response",
	}
	// unanswered is what it calls an error while a replica doesn't answer.
	unanswered = []string{
		"failed to heartbeat to", "failed to appendEntries to", "failed to pipeline appendEntries", "failed to start pipeline replication to",
		"failed to make requestVote RPC",
	}
)

// Log implements hclog.Logger.
func (l *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	switch {
	case slices.Contains(ordinary, msg), level == hclog.Warn && strings.HasPrefix(msg, "rejecting "), level == hclog.Info:
		l.write(slog.LevelDebug, msg, args)
	case slices.Contains(unanswered, msg):
		if l.complaints.due(memberIn(args)) {
			l.write(slog.LevelWarn, "another replica can't be reached", append(args, "doing", msg))
		}
	case level == hclog.Error:
		if l.complaints.due(msg + memberIn(args)) {
			l.write(slog.LevelError, msg, args)
		}
	case level == hclog.Warn:
		l.write(slog.LevelInfo, msg, args)
	default: // every vote and every heartbeat
	}
}

func (l *raftLogger) write(level slog.Level, msg string, args []any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	for i, arg := range args {
		switch arg := arg.(type) {
		case hclog.Format:
			args[i] = fmt.Sprintf(arg[0].(string), arg[1:]...) //nolint:errcheck // hclog.Fmt takes the format as a string
		case error:
			args[i] = unread(arg)
		case raft.Server:
			args[i] = fmt.Sprintf("%s at %s", arg.ID, arg.Address)
		}
	}
	l.log.Log(context.Background(), level, msg, args...)
}

// unread returns the error in words if a message couldn't be read to its end, mostly because its connection was cut, which Raft's codec
// calls a decode error at some position.
func unread(err error) error {
	var decoding interface{ Cause() error }
	if errors.As(err, &decoding) && decoding.Cause() != nil {
		return fmt.Errorf("the message broke off: %w", decoding.Cause())
	}
	return err
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

// memberIn returns the address of whom one of Raft's messages is about.
func memberIn(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] != "peer" && args[i] != "target" {
			continue
		}
		if s, ok := args[i+1].(raft.Server); ok {
			return string(s.Address)
		}
		return fmt.Sprint(args[i+1])
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
