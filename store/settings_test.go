package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

func TestFirstBoundIsKept(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	s := openStore(t, o)
	f := newFeeder(t, s)
	if s.Bound() != 0 {
		t.Errorf("a new store has the bound %s", s.Bound())
	}
	f.apply(Command{TermStart: &TermStart{Term: 1, Epoch: 7}})
	f.apply(Command{TermStart: &TermStart{Term: 2, Epoch: 7, Bound: 2 * time.Second}})
	f.apply(Command{TermStart: &TermStart{Term: 3, Epoch: 7, Bound: 5 * time.Second}})
	if s.Bound() != 2*time.Second {
		t.Errorf("the bound is %s, want the first one, 2s", s.Bound())
	}
	closeStore(t, s)
	if s = openStore(t, o); s.Bound() != 2*time.Second {
		t.Errorf("after a restart the bound is %s", s.Bound())
	}
}

func TestLearners(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	s := openStore(t, o)
	f := newFeeder(t, s)
	wish := func(id string, stays, removed bool) error {
		return f.apply(Command{Member: &MemberCommand{ID: id, StaysLearner: stays, Removed: removed}})[0].Err
	}
	check := func(when string, s *Store, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, s.Learners()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
		for _, id := range []string{"a", "b", "c"} {
			if got := s.StaysLearner(id); got != strings.Contains(strings.Join(want, ""), id) {
				t.Errorf("%s: StaysLearner(%s) = %t", when, id, got)
			}
		}
	}
	before := stateHash(t, s)
	for _, id := range []string{"b", "a", "c", "a"} {
		if err := wish(id, true, false); err != nil {
			t.Fatal(err)
		}
	}
	check("wished", s, "a", "b", "c")
	if stateHash(t, s) == before {
		t.Error("the wishes aren't part of the state's hash")
	}
	for _, err := range []error{wish("a", false, false), wish("b", true, true), wish("x", false, false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	check("taken back", s, "c")
	other := openStore(t, Options{})
	if err := other.Restore(bytes.NewReader(snapshotOf(t, s))); err != nil {
		t.Fatal(err)
	}
	check("restored", other, "c")
	closeStore(t, s)
	check("after a restart", openStore(t, o), "c")
}

func TestLearnersAreBounded(t *testing.T) {
	s := openStore(t, Options{})
	f := newFeeder(t, s)
	wish := func(id string, stays bool) Command {
		return Command{Member: &MemberCommand{ID: id, StaysLearner: stays}}
	}
	var commands []Command
	for i := range maxLearners {
		commands = append(commands, wish(fmt.Sprint(i), true))
	}
	f.apply(commands...)
	for _, tt := range []struct {
		name string
		wish Command
		want error
	}{
		{"one more", wish("x", true), ErrTooManyMembers},
		{"one there is", wish("7", true), nil},
		{"no id", wish("", true), ErrMemberID},
		{"a long id", wish(strings.Repeat("x", maxMemberID+1), true), ErrMemberID},
		{"one that goes", wish("7", false), nil},
		{"one more then", wish("x", true), nil},
	} {
		if err := f.apply(tt.wish)[0].Err; !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestLedgerOfAnotherFormatIsRefused: in words that say what to do.
func TestLedgerOfAnotherFormatIsRefused(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	s := openStore(t, o)
	newFeeder(t, s).write(nthKey(1), granted(0, "newsletter/email"))
	value := s.state.Load().meta.encode()
	value[0]--
	if err := s.state.Load().ledger.db.Set([]byte{prefixMeta}, value, nil); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	_, err := Open(Options{FS: o.FS, Dir: o.Dir, Logger: quiet})
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "run that one") {
		t.Errorf("Open = %v, want ErrFormat", err)
	}
}
