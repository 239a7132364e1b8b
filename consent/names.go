package consent

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrTooManyNames is returned when a tenant has used up the numbers for its names.
var ErrTooManyNames = errors.New("the tenant has used 65,535 different names of permissions, purposes and channels, which is all there are")

const (
	maxNameID    = 1<<16 - 1
	maxNameBytes = 64 // of a purpose or a channel
	chunkNames   = 256
	maxRun       = 512
)

// NameID stands for a name of a permission, a purpose or a channel in the records of one tenant. Zero is none.
type NameID uint16

// NameKind tells the three kinds of names apart: the purpose crm_storage and the permission crm_storage are two names.
type NameKind uint8

// The kinds of names.
const (
	PermissionName NameKind = 1
	PurposeName    NameKind = 2
	ChannelName    NameKind = 3
)

// Names numbers what a tenant's events and policies ever named, in the order of first use. A number never changes its meaning. Names
// are immutable: adding returns a new value, which shares all that it can with the old one. The nil *Names is empty.
type Names struct {
	count  int
	chunks [][]name   // by number; full but for the last, so that adding copies that one alone
	runs   [][]NameID // by kind and text, cut into runs, so that adding copies one of them alone
}

// name is what a number stands for.
type name struct {
	text             string
	kind             NameKind
	purpose, channel NameID // of a permission
}

// SplitPermission returns the purpose and the channel of a permission's name. The channel is empty if it has none.
func SplitPermission(permission string) (purpose, channel string) {
	purpose, channel, _ = strings.Cut(permission, "/")
	return purpose, channel
}

// ValidName returns why a text can't name a purpose or a channel, or nil: names are 1 to 64 lower-case letters, digits and _ - .
// of ASCII.
func ValidName(text string) error {
	switch {
	case text == "":
		return errors.New("the name is empty: give it at least one character")
	case len(text) > maxNameBytes:
		return fmt.Errorf("the name %.20q... has %d bytes: shorten it to %d", text, len(text), maxNameBytes)
	}
	for i := range len(text) {
		if !isNameByte(text[i]) {
			return fmt.Errorf("the name %q has a character that names don't have: use a to z, 0 to 9, _ - and . only", text)
		}
	}
	return nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}

// ValidPermission returns why a text can't name a permission, or nil: permissions are a purpose, or a purpose and a channel with a slash
// between them.
func ValidPermission(text string) error {
	purpose, channel, found := strings.Cut(text, "/")
	if err := ValidName(purpose); err != nil {
		return err
	}
	if !found {
		return nil
	}
	return ValidName(channel)
}

// ID returns a name's number, or zero.
func (n *Names) ID(kind NameKind, text string) NameID {
	if n.Len() == 0 {
		return 0
	}
	run, at, found := n.search(kind, text)
	if !found {
		return 0
	}
	return n.runs[run][at]
}

// search returns the run that a name stands or belongs in, and where in it. There has to be a run.
func (n *Names) search(kind NameKind, text string) (run, at int, found bool) {
	compare := func(id NameID, text string) int {
		have := n.at(id)
		if c := cmp.Compare(have.kind, kind); c != 0 {
			return c
		}
		return cmp.Compare(have.text, text)
	}
	run, _ = slices.BinarySearchFunc(n.runs, text, func(run []NameID, text string) int { return compare(run[len(run)-1], text) })
	run = min(run, len(n.runs)-1)
	at, found = slices.BinarySearchFunc(n.runs[run], text, compare)
	return run, at, found
}

// at returns what a number that is given out stands for.
func (n *Names) at(id NameID) *name {
	i := int(id) - 1
	return &n.chunks[i/chunkNames][i%chunkNames]
}

// Name returns what a number stands for, and an empty name for one that isn't given out.
func (n *Names) Name(id NameID) (NameKind, string) {
	if id == 0 || int(id) > n.Len() {
		return 0, ""
	}
	have := n.at(id)
	return have.kind, have.text
}

// Len returns how many numbers are given out: they are 1 to Len.
func (n *Names) Len() int {
	if n == nil {
		return 0
	}
	return n.count
}

// Parts returns the numbers of a permission's purpose and channel; the channel's is zero if it has none.
func (n *Names) Parts(permission NameID) (purpose, channel NameID) {
	if permission == 0 || int(permission) > n.Len() {
		return 0, 0
	}
	have := n.at(permission)
	return have.purpose, have.channel
}

// Add returns names with one more, unless it is there already. Adding a permission adds its purpose and its channel too. It returns
// ErrTooManyNames, and the names as they were, if there aren't enough numbers left.
func (n *Names) Add(kind NameKind, text string) (*Names, error) {
	a := adding{from: n, to: n}
	a.add(kind, text)
	return a.result()
}

// AddScope returns names with all that a scope lists, or ErrTooManyNames, and the names as they were.
func (n *Names) AddScope(s Scope) (*Names, error) {
	a := adding{from: n, to: n}
	for _, text := range s.Permissions {
		a.add(PermissionName, text)
	}
	for _, text := range s.Purposes {
		a.add(PurposeName, text)
	}
	for _, text := range s.Channels {
		a.add(ChannelName, text)
	}
	return a.result()
}

// adding puts new names into a copy that nobody else has yet. Without a new name there is no copy.
type adding struct {
	from, to *Names
	full     bool
}

func (a *adding) result() (*Names, error) {
	if a.full {
		return a.from, ErrTooManyNames
	}
	return a.to, nil
}

// add returns a name's number, which is a new one if the name is new.
func (a *adding) add(kind NameKind, text string) NameID {
	if id := a.to.ID(kind, text); id != 0 || a.full {
		return id
	}
	id := a.give(name{text: text, kind: kind})
	if kind != PermissionName || a.full {
		return id
	}
	purpose, channel := SplitPermission(text)
	purposeID, channelID := a.add(PurposeName, purpose), NameID(0)
	if channel != "" {
		channelID = a.add(ChannelName, channel)
	}
	if !a.full {
		have := a.to.at(id)
		have.purpose, have.channel = purposeID, channelID
	}
	return id
}

// give numbers a name.
func (a *adding) give(fresh name) NameID {
	if a.to.Len() == maxNameID {
		a.full = true
		return 0
	}
	if a.to == a.from {
		a.to = a.from.grown()
	}
	a.to.append(fresh)
	return NameID(a.to.count)
}

// append numbers a name, in names that nobody else has yet.
func (n *Names) append(fresh name) {
	n.count++
	id := NameID(n.count)
	if last := len(n.chunks) - 1; last >= 0 && len(n.chunks[last]) < chunkNames {
		n.chunks[last] = append(n.chunks[last], fresh)
	} else {
		n.chunks = append(n.chunks, []name{fresh})
	}
	if len(n.runs) == 0 {
		n.runs = [][]NameID{{id}}
		return
	}
	i, at, _ := n.search(fresh.kind, fresh.text)
	run := slices.Insert(slices.Clone(n.runs[i]), at, id)
	n.runs[i] = run
	if half := len(run) / 2; len(run) > maxRun {
		n.runs[i] = run[:half]
		n.runs = slices.Insert(n.runs, i+1, run[half:])
	}
}

// grown returns a copy to which names can be added without touching the original.
func (n *Names) grown() *Names {
	if n == nil {
		return &Names{}
	}
	grown := &Names{count: n.count, chunks: slices.Clone(n.chunks), runs: slices.Clone(n.runs)}
	if last := len(grown.chunks) - 1; last >= 0 {
		grown.chunks[last] = slices.Clone(grown.chunks[last])
	}
	return grown
}
