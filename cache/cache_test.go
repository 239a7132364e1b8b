package cache

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/consentd/consentd/consent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testBound = 2 * time.Second

// at returns a revision of the epoch that most tests are in.
func at(index uint64) consent.Revision { return consent.Revision{Epoch: 7, Index: index} }

// shop is a tenant of an epoch.
func shop(epoch uint64) *consent.Tenant {
	return &consent.Tenant{Name: "shop", Number: 1, Epoch: epoch}
}

func tenants(of ...*consent.Tenant) map[string]*consent.Tenant {
	all := map[string]*consent.Tenant{}
	for _, t := range of {
		all[t.Name] = t
	}
	return all
}

// open returns a cache of few buckets, which is closed with the test.
func open(t *testing.T, o Options) *Cache {
	t.Helper()
	o.MaxBytes = MinBytes
	c, err := newCache(o, 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestNewRefusesSizes(t *testing.T) {
	for _, bytes := range []int64{-1, MinBytes - 1, MostBytes + 1, math.MaxInt64} {
		if _, err := New(Options{MaxBytes: bytes, Fill: func(context.Context, Want) (Filled, error) { return Filled{}, nil }}); err == nil {
			t.Errorf("a cache of %d bytes was made", bytes)
		}
	}
}

func TestRecordIsAskedForOnceAndHeld(t *testing.T) {
	words := consent.Record{1, 2, 3}
	asked := 0
	c := open(t, Options{Fill: func(_ context.Context, w Want) (Filled, error) {
		asked++
		if w != (Want{"shop", "anna", at(10)}) {
			t.Errorf("asked for %+v", w)
		}
		return Filled{Revision: at(10), Bucket: 3, Record: words}, nil
	}})
	tenant := shop(7)
	c.Reset(at(10), tenants(tenant))
	if _, err := c.Record(t.Context(), tenant, "anna"); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("before the first proof: %v, want ErrNotReady", err)
	}
	c.Prove(time.Now(), testBound)
	for range 3 {
		got, err := c.Record(t.Context(), tenant, "anna")
		if err != nil || !slices.Equal(got, words) {
			t.Fatalf("record %v, %v", got, err)
		}
		c.shelf.Wait()
	}
	if _, got, here := c.Held(tenant, "anna"); !here || !slices.Equal(got, words) {
		t.Errorf("held %v, %t", got, here)
	}
	c.Advance(11, []uint32{3}, nil)
	if _, got, here := c.Held(tenant, "anna"); here {
		t.Errorf("held %v after its bucket changed", got)
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	if s := c.Stats(); s.Hits != 3 || s.Misses != 2 || s.Fills != 1 || s.Entries != 1 {
		t.Errorf("stats %+v", s)
	}
}
