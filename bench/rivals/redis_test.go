package rivals

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
)

// redisServer is a redis-server without persistence. Its value for a subject is an answer that somebody else made: it holds, and decides nothing.
type redisServer struct{ socket string }

func startRedis(b *testing.B) redisServer {
	b.Helper()
	dir := shortDir(b)
	r := redisServer{filepath.Join(dir, "s")}
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", r.socket, "--save", "", "--appendonly", "no", "--dir", dir)
	start(b, cmd, "unix", r.socket)
	c := r.client(b, 1)
	for n, id := range ids {
		if err := c.Set(b.Context(), id, valueOf(n), 0).Err(); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

// valueOf is as long as a short record; its first byte is the answer.
func valueOf(n int) string {
	value := bytes.Repeat([]byte{7}, 48)
	value[0] = '0'
	if mayBeSent(n) {
		value[0] = '1'
	}
	return string(value)
}

func readValue(value []byte) (allowed bool, err error) {
	if len(value) != 48 || value[0] != '0' && value[0] != '1' {
		return false, fmt.Errorf("%q is no value of a subject's", value)
	}
	return value[0] == '1', nil
}

func (r redisServer) client(b *testing.B, callers int) *redis.Client {
	b.Helper()
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: r.socket, PoolSize: callers})
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// usual asks by go-redis, with a connection in its pool for each caller: one GET at a time, or as many in a pipeline as atOnce says.
func (r redisServer) usual(b *testing.B, callers, atOnce int) side {
	b.Helper()
	c, ctx := r.client(b, callers), context.Background()
	if atOnce == 1 {
		return side{1, func(_ int, subjects []int, allowed []bool) error {
			value, err := c.Get(ctx, ids[subjects[0]]).Bytes()
			if err == nil {
				allowed[0], err = readValue(value)
			}
			return err
		}}
	}
	return side{atOnce, func(_ int, subjects []int, allowed []bool) error {
		replies, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, n := range subjects {
				p.Get(ctx, ids[n])
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, reply := range replies {
			get, isGet := reply.(*redis.StringCmd)
			if !isGet {
				return fmt.Errorf("%T is no reply to a GET", reply)
			}
			value, err := get.Bytes()
			if err == nil {
				allowed[i], err = readValue(value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}}
}

// bare asks by the least that a client can be, a write and a read, on a connection for each caller.
func (r redisServer) bare(b *testing.B, callers, atOnce int) side {
	b.Helper()
	conns := make([]*redisConn, callers)
	for i := range conns {
		conn, err := (&net.Dialer{}).DialContext(b.Context(), "unix", r.socket)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		conns[i] = newRedisConn(conn)
	}
	return side{atOnce, func(caller int, subjects []int, allowed []bool) error { return conns[caller].get(subjects, allowed) }}
}

type redisConn struct {
	writer    io.Writer
	replies   *bufio.Reader
	questions []byte
	value     []byte
}

func newRedisConn(conn io.ReadWriter) *redisConn {
	return &redisConn{writer: conn, replies: bufio.NewReader(conn), value: make([]byte, 48+len("\r\n"))}
}

// get writes a GET for each subject, and then reads the replies.
func (c *redisConn) get(subjects []int, allowed []bool) error {
	c.questions = c.questions[:0]
	for _, n := range subjects {
		c.questions = append(c.questions, "*2\r\n$3\r\nGET\r\n$"...)
		c.questions = append(strconv.AppendInt(c.questions, int64(len(ids[n])), 10), "\r\n"...)
		c.questions = append(append(c.questions, ids[n]...), "\r\n"...)
	}
	if _, err := c.writer.Write(c.questions); err != nil {
		return err
	}
	for i := range subjects {
		line, err := c.replies.ReadSlice('\n')
		if err != nil {
			return err
		}
		if string(line) != "$48\r\n" {
			return fmt.Errorf("the reply to a GET is %q, want 48 bytes", line)
		}
		if _, err := io.ReadFull(c.replies, c.value); err != nil {
			return err
		}
		if allowed[i], err = readValue(c.value[:48]); err != nil {
			return err
		}
	}
	return nil
}

// TestRedisConn speaks the protocol with a server that is made up.
func TestRedisConn(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	asked := make(chan string, 1)
	go func() {
		defer theirs.Close()
		question := make([]byte, 200)
		n, _ := theirs.Read(question)
		asked <- string(question[:n])
		_, _ = fmt.Fprintf(theirs, "$48\r\n%s\r\n$48\r\n%s\r\n", valueOf(2), valueOf(3))
	}()
	c, allowed := newRedisConn(ours), make([]bool, 2)
	if err := c.get([]int{2, 3}, allowed); err != nil || !allowed[0] || allowed[1] {
		t.Errorf("%v, %v, want that only the first is allowed", allowed, err)
	}
	want := "*2\r\n$3\r\nGET\r\n$20\r\nsubject2@example.com\r\n*2\r\n$3\r\nGET\r\n$20\r\nsubject3@example.com\r\n"
	if got := <-asked; got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	if err := newRedisConn(struct {
		io.Reader
		io.Writer
	}{bytes.NewBufferString("$-1\r\n"), io.Discard}).get([]int{2}, allowed); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a subject that isn't there gives %v", err)
	}
}
