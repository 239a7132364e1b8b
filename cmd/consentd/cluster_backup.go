package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/cluster"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

func newClusterBackupCommand(c *cli) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy all that a running cluster holds into a file",
		Long: `Copy all that a running cluster holds into a file, as new as the call. It is written to FILE.part, verified
from its first byte to its last, and moved to FILE; - is standard output. The key of the pseudonyms isn't in it: keep that elsewhere.`,
		Example: `  consentd cluster backup consentd-2026-01-10.backup
  consentd cluster backup - | age -r "$RECIPIENT" > consentd.backup.age`,
		Args: oneBackup,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" {
				return c.backUpToOutput(cmd.Context())
			}
			return c.backUp(cmd.Context(), args[0], force)
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the file if it is there")
	return cmd
}

func oneBackup(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usageErrorf("name one file, or -")
	}
	return nil
}

// backUp makes the file appear whole and verified, or not at all.
func (c *cli) backUp(ctx context.Context, path string, force bool) error {
	there, err := os.Lstat(path)
	switch {
	case err != nil: // it isn't there, or opening it says why
	case there.IsDir():
		return usageErrorf("%s is a directory: name a file", path)
	case !force:
		return usageErrorf("%s is there already: choose another name, or overwrite it with --force", path)
	}
	part, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // whoever calls it names the file
	if err != nil {
		return fmt.Errorf("the backup can't be written: %w", err)
	}
	info, err := c.fillBackup(ctx, part)
	if err := errors.Join(err, part.Close()); err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return c.printBackup(path, info)
}

// fillBackup writes the copy, and reads back what the disk has of it.
func (c *cli) fillBackup(ctx context.Context, part *os.File) (*cluster.BackupInfo, error) {
	if err := c.receiveBackup(ctx, part); err != nil {
		return nil, err
	}
	if err := part.Sync(); err != nil {
		return nil, err
	}
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return cluster.Inspect(part)
}

func syncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // it is where the caller's file is
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// backUpToOutput verifies what it writes while it does. What was written of a copy that turns out not to be whole can't be taken back: the
// exit code tells.
func (c *cli) backUpToOutput(ctx context.Context) error {
	seen, see := io.Pipe()
	verified := make(chan error, 1)
	go func() {
		_, err := cluster.Inspect(seen)
		seen.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // so that nobody waits for it to read on
		verified <- err
	}()
	out := bufio.NewWriter(c.stdout)
	err := c.receiveBackup(ctx, io.MultiWriter(out, see))
	see.CloseWithError(err)
	if wrong := <-verified; wrong != nil && (err == nil || errors.Is(err, io.ErrClosedPipe)) {
		err = wrong
	}
	if flushed := out.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("standard output can't be written: %w", flushed)
	}
	return err
}

// receiveBackup writes the bytes of a backup as they come. It waits for each message as long as --timeout says.
func (c *cli) receiveBackup(ctx context.Context, w io.Writer) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := server.cluster.BackUp(ctx, &consentv1.BackUpRequest{})
	if err != nil {
		return err
	}
	progress := c.newProgress()
	defer progress.clear()
	for written := int64(0); ; {
		late := time.AfterFunc(c.timeout, func() { cancel(context.DeadlineExceeded) })
		reply, err := stream.Recv()
		late.Stop()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
			return context.DeadlineExceeded
		case err != nil:
			return err
		}
		if _, err := w.Write(reply.GetChunk()); err != nil {
			return fmt.Errorf("the backup can't be written: %w", err)
		}
		written += int64(len(reply.GetChunk()))
		progress.showBytes(written, 0)
	}
}
