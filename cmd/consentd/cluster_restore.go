package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// restoreChunk is how much of a backup one message carries.
const restoreChunk = 128 << 10

func newClusterRestoreCommand(c *cli) *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Bring a backup into a cluster",
		Long: `Bring a backup into a running cluster that is empty, or with --replace into one that isn't; - is standard
input. The cluster needs the pseudonym key that the backup was made with. A file that isn't whole, was
altered or is another key's changes nothing. What is restored stands in a new epoch: revisions from
before are refused.`,
		Example: `  consentd cluster restore consentd-2026-01-10.backup`,
		Args:    oneBackup,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.restore(cmd.Context(), args[0], replace)
		}),
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "replace a cluster that holds subjects already: they are lost")
	return cmd
}

type restoreOutput struct {
	Revision   string  `json:"revision"`
	Subjects   uint64  `json:"subjects"`
	Tenants    uint64  `json:"tenants"`
	BackedUpAt *string `json:"backed_up_at"`
}

func (c *cli) restore(ctx context.Context, path string, replace bool) error {
	in, size := c.stdin, int64(0)
	if path != "-" {
		file, err := os.Open(path) //nolint:gosec // whoever calls it names the file
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // it was only read
		if info, err := file.Stat(); err == nil {
			size = info.Size()
		}
		in = file
	}
	reply, err := c.sendBackup(ctx, in, size, replace)
	if err != nil {
		return err
	}
	out := restoreOutput{
		Revision: reply.GetRevision(), Subjects: reply.GetSubjects(), Tenants: reply.GetTenants(), BackedUpAt: outputTime(reply.GetBackedUpAt()),
	}
	return c.print(out, func(w io.Writer) {
		fmt.Fprintf(w, "restored %d subjects of %d tenants as of %s (revision %s)\n", out.Subjects, out.Tenants, cell(reply.GetBackedUpAt()),
			out.Revision)
	})
}

// sendBackup waits as long as --timeout says for each part to be taken, and for the outcome as long as it takes.
func (c *cli) sendBackup(ctx context.Context, in io.Reader, size int64, replace bool) (*consentv1.RestoreResponse, error) {
	server, err := c.connect()
	if err != nil {
		return nil, err
	}
	defer server.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := server.cluster.Restore(ctx)
	if err != nil {
		return nil, err
	}
	progress := c.newProgress()
	defer progress.clear()
	send := func(request *consentv1.RestoreRequest) error {
		defer time.AfterFunc(c.timeout, func() { cancel(context.DeadlineExceeded) }).Stop()
		return stream.Send(request)
	}
	err = sendChunks(in, replace, send, func(sent int64) { progress.showBytes(sent, size) })
	if err != nil && !errors.Is(err, io.EOF) { // which is the library's word for a call that the server has ended: its answer says why
		return nil, err
	}
	reply, err := stream.CloseAndRecv()
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return nil, context.DeadlineExceeded
	}
	return reply, err
}

// sendChunks sends all that there is.
func sendChunks(in io.Reader, replace bool, send func(*consentv1.RestoreRequest) error, sent func(int64)) error {
	request := &consentv1.RestoreRequest{Replace: replace}
	for total := int64(0); ; {
		chunk := make([]byte, restoreChunk) // a new one each time: the library may still be reading the last
		n, err := io.ReadFull(in, chunk)
		if n > 0 {
			request.Chunk = chunk[:n]
			if err := send(request); err != nil {
				return err
			}
			total += int64(n)
			sent(total)
			request = &consentv1.RestoreRequest{}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the backup can't be read: %w", err)
		}
	}
}
