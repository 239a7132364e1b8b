package chaos

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"
)

// echo answers every line with itself, after a preface that it passes over.
func echo(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, _, _, err := readPreface(conn); err == nil {
					io.Copy(conn, conn)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// talk is a connection from a to b through a proxy.
type talk struct {
	t       *testing.T
	links   *Links
	conn    net.Conn
	answers *bufio.Reader
}

func newTalk(t *testing.T) *talk {
	t.Helper()
	links := NewLinks()
	p, err := NewProxy(t.Context(), links, echo(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); p.Close() })
	if _, err := io.WriteString(conn, prefaceMagic+"\x01r\x01c\x01a\x01b"); err != nil {
		t.Fatal(err)
	}
	k := &talk{t, links, conn, bufio.NewReader(conn)}
	k.hear("first")
	return k
}

func (k *talk) say(word string) {
	k.t.Helper()
	if _, err := io.WriteString(k.conn, word+"\n"); err != nil {
		k.t.Fatal(err)
	}
}

// hear says a word and waits for it.
func (k *talk) hear(word string) (after time.Duration) {
	k.t.Helper()
	began := time.Now()
	k.say(word)
	if got, err := k.answers.ReadString('\n'); err != nil || got != word+"\n" {
		k.t.Fatalf("heard %q, %v, want %q", got, err, word)
	}
	return time.Since(began)
}

func (k *talk) silent() {
	k.t.Helper()
	if err := k.conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond)); err != nil {
		k.t.Fatal(err)
	}
	if got, err := k.answers.ReadByte(); err == nil {
		k.t.Fatalf("heard %q over a stalled link", got)
	}
	if err := k.conn.SetReadDeadline(time.Time{}); err != nil {
		k.t.Fatal(err)
	}
}

// Each direction is a link of its own, whoever has dialled, and what a stalled one holds arrives when it is well again.
func TestLinks(t *testing.T) {
	for name, direction := range map[string][2]string{"there": {"a", "b"}, "back": {"b", "a"}} {
		t.Run(name, func(t *testing.T) {
			k := newTalk(t)
			k.links.Set("b", "c", Condition{Stalled: true})
			k.hear("others are no matter")

			k.links.Set(direction[0], direction[1], Condition{Stalled: true})
			k.say("held")
			k.silent()
			if k.links.Troubled() != 1 {
				t.Errorf("%d troubles were met, want that of one word", k.links.Troubled())
			}
			k.links.Heal()
			if got, err := k.answers.ReadString('\n'); err != nil || got != "held\n" {
				t.Fatalf("heard %q, %v", got, err)
			}

			k.links.Set(direction[0], direction[1], Condition{Delay: 40 * time.Millisecond})
			if after := k.hear("slow"); after < 40*time.Millisecond {
				t.Errorf("a delay of 40ms took %s", after)
			}
			k.links.Set(direction[0], direction[1], Condition{Rate: 100})
			if after := k.hear("slow"); after < 50*time.Millisecond {
				t.Errorf("5 bytes at 100 a second took %s", after)
			}
			k.links.Heal()
			k.links.Break("a", "c")
			k.hear("still there")
			k.links.Break("b", "a")
			if _, err := k.answers.ReadByte(); err == nil {
				t.Error("a broken connection answers")
			}
		})
	}
}
