package cluster

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/consentd/consentd/store"
)

// repair is what to do about a data directory that isn't whole.
const repair = "move the data directory away, and keep its pseudonym.key. A replica of several starts again with an empty one and another " +
	"node id, and the others fill it; one that is alone, with an empty one that has that key, and 'consentd cluster restore' brings the " +
	"newest backup back"

// permit is what to do about one that may not be used.
const permit = "let the user that consentd runs as read and write all that is in it"

// dataDirError returns ErrDataDir for an error that something in the data directory led to, with what to do about it.
func dataDirError(err error) error {
	var system syscall.Errno
	damages := []syscall.Errno{syscall.ENOENT, syscall.EISDIR, syscall.ENOTDIR, syscall.EIO}
	switch {
	case err == nil, errors.Is(err, ErrDataDir), errors.Is(err, ErrPseudonymKey):
		return err
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: %w: %s", ErrDataDir, err, permit)
	case errors.Is(err, store.ErrFormat), errors.As(err, &system) && !slices.Contains(damages, system):
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	default:
		return fmt.Errorf("%w: %w: %s", ErrDataDir, err, repair)
	}
}
