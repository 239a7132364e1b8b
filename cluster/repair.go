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

// remedy returns what an error of an operation on a file says of the data directory or its disk, and what to do about it.
func remedy(err error) (fault, advice string) {
	is := func(causes ...syscall.Errno) bool {
		return slices.ContainsFunc(causes, func(cause syscall.Errno) bool { return errors.Is(err, cause) })
	}
	switch {
	case is(syscall.ENOSPC, syscall.EDQUOT):
		return "the disk is full", "make space and start this replica again: nothing acknowledged is lost, and a replica of a cluster catches up"
	case is(syscall.EMFILE, syscall.ENFILE):
		return "there are too many open files",
			"raise the limit (ulimit -n, or LimitNOFILE of the unit) and start this replica again: nothing acknowledged is lost"
	case is(syscall.EACCES, syscall.EPERM):
		return "the data directory can't be used", "let the user that consentd runs as read and write all that is in it"
	case is(syscall.ENOENT, syscall.EISDIR, syscall.ENOTDIR):
		return "the data directory is damaged", repair
	default:
		return "the disk fails",
			"look at the disk and how it is mounted, and start this replica again: nothing acknowledged is lost. If the disk is, replace it"
	}
}

// dataDirError returns ErrDataDir for an error that something in the data directory led to, with what to do about it. What no operation on
// a file led to is damage.
func dataDirError(err error) error {
	var system syscall.Errno
	switch {
	case err == nil, errors.Is(err, ErrDataDir), errors.Is(err, ErrPseudonymKey):
		return err
	case errors.Is(err, store.ErrFormat):
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	case errors.As(err, &system):
		_, advice := remedy(err)
		return fmt.Errorf("%w: %w: %s", ErrDataDir, err, advice)
	default:
		return fmt.Errorf("%w: %w: %s", ErrDataDir, err, repair)
	}
}
