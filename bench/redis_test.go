package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// redis is a redis-server of the benchmark's own, without persistence, that knows the subjects.
type redis struct {
	network, address string
	ids              []string
}

// startRedis starts the redis-server of the path (Debian: apt-get install redis-server), or skips the benchmark if there is none.
func startRedis(b *testing.B, network string) redis {
	b.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		b.Skip("redis-server isn't installed")
	}
	dir := shortDir(b)
	r := redis{network: network, address: filepath.Join(dir, "s"), ids: subjectIDs()}
	where := []string{"--port", "0", "--unixsocket", r.address}
	if network == "tcp" {
		r.address = freeAddress(b)
		_, port, _ := net.SplitHostPort(r.address)
		where = []string{"--bind", "127.0.0.1", "--port", port}
	}
	cmd := exec.Command(binary, append(where, "--save", "", "--appendonly", "no", "--dir", dir)...)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // which says that it was killed
	})
	await(b, "redis-server to listen", func() bool {
		conn, err := (&net.Dialer{}).DialContext(b.Context(), r.network, r.address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	c := r.dial(b)
	for _, id := range r.ids {
		if err := c.set(id, redisValue); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

// redisValue is as long as a short record.
var redisValue = bytes.Repeat([]byte{7}, 48)

// redisConn is one connection, which carries one question at a time, as a Redis client without pipelining does. It does nothing more than
// write and read: no client that an application would use costs less.
type redisConn struct {
	conn     net.Conn
	replies  *bufio.Reader
	question []byte
	value    []byte
}

func (r redis) dial(b *testing.B) *redisConn {
	b.Helper()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), r.network, r.address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &redisConn{conn: conn, replies: bufio.NewReader(conn), value: make([]byte, len(redisValue)+2)}
}

// asked has callers get one value after the other, each on a connection of its own.
func (r redis) asked(b *testing.B, callers int) side {
	b.Helper()
	var conns []*redisConn
	for range callers {
		conns = append(conns, r.dial(b))
	}
	return side{"redis/s", func() float64 {
		return rate(b, callers, func(caller, number int) error { return conns[caller].get(r.ids[number%len(r.ids)]) })
	}}
}

func (c *redisConn) get(key string) error {
	c.question = appendBulk(append(c.question[:0], "*2\r\n$3\r\nGET\r\n"...), []byte(key))
	line, err := c.ask()
	if err != nil {
		return err
	}
	if size, err := strconv.Atoi(string(bytes.TrimPrefix(line, []byte("$")))); err != nil || size != len(redisValue) {
		return fmt.Errorf("GET %s: %q, want %d bytes", key, line, len(redisValue))
	}
	_, err = io.ReadFull(c.replies, c.value)
	return err
}

func (c *redisConn) set(key string, value []byte) error {
	c.question = appendBulk(appendBulk(append(c.question[:0], "*3\r\n$3\r\nSET\r\n"...), []byte(key)), value)
	line, err := c.ask()
	if err == nil && string(line) != "+OK" {
		err = fmt.Errorf("SET %s: %q, want +OK", key, line)
	}
	return err
}

// ask sends the question, and returns the first line of the reply.
func (c *redisConn) ask() ([]byte, error) {
	if _, err := c.conn.Write(c.question); err != nil {
		return nil, err
	}
	line, err := c.replies.ReadSlice('\n')
	return bytes.TrimSuffix(line, []byte("\r\n")), err
}

func appendBulk(to, text []byte) []byte {
	to = strconv.AppendInt(append(to, '$'), int64(len(text)), 10)
	return append(append(append(to, "\r\n"...), text...), "\r\n"...)
}
