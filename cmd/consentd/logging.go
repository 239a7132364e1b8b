package main

import "log/slog"

// newLogger writes text for people and JSON for machines.
func (c *cli) newLogger(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if c.onTerminal() {
		return slog.New(slog.NewTextHandler(c.stderr, options))
	}
	return slog.New(slog.NewJSONHandler(c.stderr, options))
}
