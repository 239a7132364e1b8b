package rivals

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcdServer is a member alone. Its values are Redis's.
type etcdServer struct{ address string }

func startEtcd(b *testing.B) etcdServer {
	b.Helper()
	e := etcdServer{freeAddress(b)}
	peer := "http://" + freeAddress(b)
	start(b, exec.Command("etcd", "--name", "one", "--data-dir", filepath.Join(b.TempDir(), "data"), "--log-level", "error",
		"--listen-client-urls", "http://"+e.address, "--advertise-client-urls", "http://"+e.address,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "one="+peer), "tcp", e.address)
	c := e.client(b)
	const together = 100
	for from := 0; from < population; from += together {
		var puts []clientv3.Op
		for n := from; n < from+together; n++ {
			puts = append(puts, clientv3.OpPut(ids[n], valueOf(n)))
		}
		if _, err := c.Txn(b.Context()).Then(puts...).Commit(); err != nil {
			b.Fatal(err)
		}
	}
	return e
}

func (e etcdServer) client(b *testing.B) *clientv3.Client {
	b.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.address}, DialTimeout: patience, Logger: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// get asks for one key at a time, on a connection that all callers share: linearizable, or serializable, which may be old.
func (e etcdServer) get(b *testing.B, serializable bool) side {
	b.Helper()
	c, ctx := e.client(b), context.Background()
	var options []clientv3.OpOption
	if serializable {
		options = append(options, clientv3.WithSerializable())
	}
	return side{1, func(_ int, subjects []int, allowed []bool) error {
		reply, err := c.Get(ctx, ids[subjects[0]], options...)
		if err != nil {
			return err
		}
		if len(reply.Kvs) != 1 {
			return fmt.Errorf("%d values, want one", len(reply.Kvs))
		}
		allowed[0], err = readValue(reply.Kvs[0].Value)
		return err
	}}
}
