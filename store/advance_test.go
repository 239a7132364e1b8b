package store

import "testing"

// TestAdvanceIsARevision: a state has the revision of every index that the log has come to, with a command or without. Who was told of it by
// one replica may ask for it at another.
func TestAdvanceIsARevision(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	was := f.store.Head()
	f.store.Advance(9)
	now := f.store.Head()
	if now.Revision.Index != 9 || now.Revision.Epoch != was.Revision.Epoch || now.Stamp != was.Stamp || now.Tenants[testTenant] == nil {
		t.Errorf("the head is %+v, and was %+v", now, was)
	}
	changes, err := f.store.Changes(was.Revision, 1, nil)
	if err != nil || changes.To != now.Revision || len(changes.Subjects) != 0 || len(changes.Tenants) != 0 {
		t.Errorf("changes since %v: %+v, %v", was.Revision, changes, err)
	}
	f.store.Advance(4)
	if f.store.Head() != now {
		t.Error("an index of before moved the head")
	}
}
