package main

import (
	"errors"
	"io/fs"
	"os"
)

// readyOutput is what the ready file says: the addresses as --addr takes them, with the ports that the system chose.
type readyOutput struct {
	Listen    []string `json:"listen"`
	OpsListen string   `json:"ops_listen"`
	PID       int      `json:"pid"`
}

// writeReadyFile makes the file appear whole.
func writeReadyFile(path string, ready readyOutput) error {
	if path == "" {
		return nil
	}
	text, err := toJSON(ready)
	if err != nil {
		return err
	}
	file, err := createOut(path)
	if err != nil {
		return err
	}
	defer file.discard()
	if _, err := file.Write(text); err != nil {
		return err
	}
	return file.keep()
}

// removeReadyFile is for a start, where one may be left of a process that was killed, and for an end.
func removeReadyFile(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
