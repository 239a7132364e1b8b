package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
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
	cmd.Flags().BoolVar(&replace, "replace", false, "replace a cluster that isn't empty, if only of policies: what it holds is lost")
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

// sendBackup waits as long as --timeout says for each part to be taken, and for the outcome as long as there is progress.
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
	sent := int64(0)
	err = sendChunks(in, replace, send, func(total int64) {
		sent = total
		progress.showBytes(sent, size)
	})
	if err != nil && !errors.Is(err, io.EOF) { // which is the library's word for a call that the server has ended: its answer says why
		return nil, err
	}
	if sent == 0 && err == nil {
		return nil, errors.New("the backup is cut short: it is empty. Take another copy of it")
	}
	watched, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		watchRestore(watched, server, c.timeout+restorePatience+time.Duration(sent/verifiedASecond)*time.Second, progress, cancel)
	})
	reply, err := stream.CloseAndRecv()
	stop()
	watching.Wait()
	var stuck *stuckError
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		return nil, context.DeadlineExceeded
	case errors.As(cause, &stuck):
		return nil, stuck
	}
	return reply, err
}

const (
	// restorePatience is how long a restore that was sent may make no progress. A server tries each of its steps for 30 s.
	restorePatience = 45 * time.Second
	// verifiedASecond is how many bytes of a backup the slowest server verifies, which shows no progress.
	verifiedASecond = 8 << 20
	restoreLook     = time.Second
)

// stuckError is returned for a restore that the cluster makes no progress with.
type stuckError struct{ after time.Duration }

// Error implements error.
func (e *stuckError) Error() string {
	return fmt.Sprintf("the restore has made no progress for %s, and whether it still comes about isn't known: look at 'consentd cluster "+
		"status' and at the replicas' logs, and restore again with --replace", e.after)
}

// watchRestore gives a restore up that makes no progress for some time: it goes through the log, so that the index moves which is applied
// on the replica that does it.
func watchRestore(ctx context.Context, server *connection, limit time.Duration, p *progress, giveUp context.CancelCauseFunc) {
	look := time.NewTicker(restoreLook)
	defer look.Stop()
	applied, moved := uint64(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if now := appliedAt(ctx, server); now > applied {
			applied, moved = now, time.Now()
			p.renew(0, 0, func() string { return fmt.Sprintf("restoring, at index %d", now) })
		}
		if time.Since(moved) > limit {
			giveUp(&stuckError{limit})
			return
		}
	}
}

// appliedAt returns what the server has applied of the log, 0 if it doesn't say.
func appliedAt(ctx context.Context, server *connection) uint64 {
	ctx, cancel := context.WithTimeout(ctx, 5*restoreLook)
	defer cancel()
	status, err := server.cluster.GetClusterStatus(ctx, &consentv1.GetClusterStatusRequest{})
	if err != nil {
		return 0
	}
	for _, m := range status.GetMembers() {
		if m.GetId() == status.GetNodeId() {
			return m.GetApplied()
		}
	}
	return 0
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
