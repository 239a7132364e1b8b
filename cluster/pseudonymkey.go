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

// NewKeyFile makes a pseudonym key for a new cluster, in a file that only its owner can read. It doesn't replace a file: ErrPseudonymKey.
func NewKeyFile(path string) error {
	var key [16]byte
	rand.Read(key[:])
	err := writeKey(path, key)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%w: %s is there already, and if it is a key, what it has made can't be found without it: choose another name",
			ErrPseudonymKey, path)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPseudonymKey, err)
	}
	return nil
}

// pseudonymKey reads the key of a file. If there is none and the replica may make one, it does. The file always lies on the operating
// system's file system, because no other knows permissions.
func (n *Node) pseudonymKey() (key [16]byte, err error) {
	path := n.options.PseudonymKeyFile
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if errors.Is(err, os.ErrNotExist) {
		if err := n.makeKey(path); err != nil {
			return key, err
		}
		text, err = os.ReadFile(path) //nolint:gosec // as above
	}
	if err != nil {
		return key, fmt.Errorf("%w: %w: let the user that consentd runs as read it, or copy it from another replica or from where you keep it safe",
			ErrPseudonymKey, err)
	}
	warnIfReadable(path, n.options.Logger)
	return parseKey(path, string(text))
}

// makeKey makes a missing key. Only a replica that founds a cluster alone may: with another key than the others have, none of what they
// recorded would be found.
func (n *Node) makeKey(path string) error {
	switch {
	case n.dir.standing().state != stateNew:
		return fmt.Errorf("%w: %s is missing, and without it no record can be found: copy it from another replica or from where you keep it safe",
			ErrPseudonymKey, path)
	case !n.options.foundsAlone():
		return fmt.Errorf("%w: %s is missing, and all replicas of a cluster have to have the same: copy it from another replica, or make one for "+
			"a new cluster by 'consentd keys new FILE' and copy it to all", ErrPseudonymKey, path)
	}
	if err := NewKeyFile(path); err != nil {
		return err
	}
	n.options.Logger.Info("made a pseudonym key: keep a copy in a safe place, because no record can be found without it", "file", path)
	return nil
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

// writeKey makes the file whole or not at all, unless one is there.
func writeKey(path string, key [16]byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+temporarySuffix) // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(keyHeader + hex.EncodeToString(key[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := errors.Join(os.Link(f.Name(), path), os.Remove(f.Name())); err != nil { // a rename would replace a file
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
