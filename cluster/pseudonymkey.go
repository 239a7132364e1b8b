package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

const keyHeader = `# The pseudonym key of a consentd cluster. Every replica needs it, and no record can be found again without it.
# Keep a copy in a safe place, apart from the backups of the data. It can't be changed.
`

// pseudonymKey reads the key of a file. If there is none and mayMake is set, it makes one: only a replica that starts alone, for the
// first time, may. The file always lies on the operating system's file system, because no other knows permissions.
func pseudonymKey(path string, mayMake bool, log *slog.Logger) (key [16]byte, err error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	switch {
	case err == nil:
		warnIfReadable(path, log)
		return parseKey(path, string(text))
	case !errors.Is(err, os.ErrNotExist):
		return key, fmt.Errorf("%w: %w", ErrPseudonymKey, err)
	case !mayMake:
		return key, fmt.Errorf("%w: %s is missing, and without it no record can be found: copy it from another replica or from where you "+
			"keep it safe", ErrPseudonymKey, path)
	}
	rand.Read(key[:])
	if err := writeKey(path, key); err != nil {
		return key, fmt.Errorf("%w: %w", ErrPseudonymKey, err)
	}
	log.Info("made a pseudonym key: keep a copy in a safe place, because no record can be found without it", "file", path)
	return key, nil
}

func parseKey(path, text string) (key [16]byte, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := hex.DecodeString(line)
		if err != nil || len(raw) != len(key) {
			break
		}
		return [16]byte(raw), nil
	}
	return key, fmt.Errorf("%w: %s holds no line of 32 hexadecimal digits: copy it from another replica or from where you keep it safe",
		ErrPseudonymKey, path)
}

// writeKey makes the file whole or not at all.
func writeKey(path string, key [16]byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+temporarySuffix) // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(keyHeader + hex.EncodeToString(key[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// warnIfReadable warns of a key that others on this machine can read. Orchestrators mount secrets so, and the operator may have reasons.
func warnIfReadable(path string, log *slog.Logger) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		log.Warn("everybody on this machine can read the pseudonym key: chmod 600", "file", path, "mode", info.Mode().Perm().String())
	}
}
