package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// A backup goes through the log in pieces of this size: small beside what an entry may hold, and large beside what an entry costs.
	restorePiece = 512 << 10
	// restoreSign is how often a restore says that it goes on while nothing is sent.
	restoreSign = time.Second
	// restoreWait is how long one of its steps may take: a new leader is found in less.
	restoreWait = 30 * time.Second
)

// Restore replaces all that the cluster holds by a backup, under a new epoch. Any replica takes it: the file is received and verified here,
// whole, before the cluster hears of it, and then goes through the log, so that all replicas take it at one index, or none does. What
// can't be restored is consent.ErrBackup, and has changed nothing. Without replace, the cluster mustn't hold a tenant.
//
// The staleness bound and the wishes about members are the running cluster's and stay; so does its membership, of which a backup knows
// nothing. Writes are refused as not written, for the seconds that it takes.
func (n *Node) Restore(ctx context.Context, replace bool, r io.Reader) (*consentv1.RestoreResponse, error) {
	if err := n.running(); err != nil {
		return nil, err
	}
	if n.space.full.Load() {
		return nil, consent.ErrStorageFull
	}
	if !replace && len(n.store.Head().Tenants) > 0 {
		return nil, store.ErrNotEmpty
	}
	epoch := randomEpoch()
	path := n.snapshots.path(fmt.Sprintf("backup-%016x%s", epoch, temporarySuffix))
	defer func() { _ = n.dir.fs.Remove(path) }() // the next start removes it otherwise
	if err := receive(n.dir.fs, path, &upload{ctx, n.space, r}); err != nil {
		return nil, err
	}
	info, sum, err := n.verify(path)
	if err != nil {
		return nil, err
	}
	n.options.Logger.Info("restoring a backup", "of_cluster", info.ClusterID, "made_at", info.MadeAt, "bytes", info.Bytes,
		"subjects", info.Subjects, "replace", replace)
	revision, err := n.restoreFile(ctx, path, store.RestoreCommand{Epoch: epoch, Replace: replace, Sum: sum})
	if err != nil {
		return nil, err
	}
	n.options.Logger.Info("restored a backup", "index", revision.Index)
	return &consentv1.RestoreResponse{
		Revision: revision.String(), Subjects: uint64(info.Subjects), Tenants: uint64(len(info.Tenants)),
		BackedUpAt: timestamppb.New(info.MadeAt),
	}, nil
}

// upload reads until a context ends, or the disk that it is received on is full.
type upload struct {
	ctx   context.Context
	space *diskSpace
	from  io.Reader
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	if u.space.full.Load() {
		return 0, consent.ErrStorageFull
	}
	return u.from.Read(p)
}

// receive writes all that a reader has to a file. It needn't be durable: after a crash it is received again.
func receive(fs vfs.FS, path string, r io.Reader) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.Copy(&fileWriter{file: f}, r)
	return errors.Join(err, f.Close())
}

// verify reads the file as it will be restored from, and returns what it holds if that can be restored here, and the checksum of what it
// has read: when the file is read again to be sent, the disk may give something else.
func (n *Node) verify(path string) (info *BackupInfo, sum [32]byte, err error) {
	f, err := n.dir.fs.Open(path)
	if err != nil {
		return nil, sum, err
	}
	info, sum, err = inspect(f)
	if err == nil && info.KeyCheck != n.door.CheckValue() {
		err = unusable(errors.New("its subjects are named with another pseudonym key than this cluster's, so that no record could be found: " +
			"restore it into a cluster that was made with the key file of the one backed up"))
	}
	return info, sum, errors.Join(err, f.Close())
}

// restoreFile takes the cluster through all steps of a restore.
func (n *Node) restoreFile(ctx context.Context, path string, command store.RestoreCommand) (consent.Revision, error) {
	f, err := n.dir.fs.Open(path)
	if err != nil {
		return consent.Revision{}, err
	}
	stream := bufio.NewReaderSize(f, restorePiece)
	if _, err := readBackupHead(stream); err != nil {
		return consent.Revision{}, errors.Join(err, f.Close())
	}
	s := &restoreSender{node: n, command: command}
	revision, err := s.send(ctx, stream)
	if err != nil {
		s.giveUp(ctx)
	}
	return revision, errors.Join(err, f.Close())
}

// restoreSender sends a stream through the log. Every step may be repeated.
type restoreSender struct {
	node    *Node
	command store.RestoreCommand // the next
}

func (s *restoreSender) send(ctx context.Context, stream io.Reader) (consent.Revision, error) {
	piece := make([]byte, restorePiece)
	for {
		n, err := io.ReadFull(stream, piece)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return consent.Revision{}, err
		}
		if n == 0 {
			break
		}
		if _, err := s.step(ctx, store.RestorePiece, piece[:n:n]); err != nil {
			return consent.Revision{}, err
		}
		s.command.Offset += uint64(n)
		piece = make([]byte, restorePiece) // the last one is Raft's now
	}
	whole, err := s.step(ctx, store.RestoreWhole, nil)
	if err != nil {
		return consent.Revision{}, err
	}
	if err := s.waitBuilt(ctx, whole.Index); err != nil {
		return consent.Revision{}, err
	}
	return s.step(ctx, store.RestoreFinish, nil)
}

func (s *restoreSender) step(ctx context.Context, step store.RestoreStep, piece []byte) (consent.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, restoreWait)
	defer cancel()
	command := s.command
	command.Step, command.Piece = step, piece
	result, err := s.node.commit(ctx, store.Command{Restore: &command})
	return result.Revision, err
}

// waitBuilt returns once this replica has built the state, which came whole at an index. The others are about as far then, so that
// finishing takes them no time in which their state grows stale.
func (s *restoreSender) waitBuilt(ctx context.Context, index uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	built := make(chan error, 1)
	go func() {
		err := s.node.store.WaitApplied(ctx, index)
		if err == nil {
			err = s.node.store.WaitBuilt(ctx, s.command.Epoch)
		}
		built <- err
	}()
	sign := time.NewTicker(restoreSign)
	defer sign.Stop()
	for {
		select {
		case err := <-built:
			return err
		case <-sign.C:
			if _, err := s.step(ctx, store.RestorePiece, nil); err != nil {
				cancel()
				return errors.Join(err, <-built)
			}
		}
	}
}

// giveUp lets writes go on at once, after a step that failed. If it fails too, the restore ends by itself a little later.
func (s *restoreSender) giveUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreSign)
	defer cancel()
	_, _ = s.step(ctx, store.RestoreGiveUp, nil)
}
