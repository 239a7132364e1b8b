package cache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
)

// proven returns a cache that stands at position 10, and its tenant.
func proven(t *testing.T, fill func(context.Context, Want) (Filled, error)) (*Cache, *consent.Tenant) {
	t.Helper()
	c := open(t, Options{Fill: fill})
	tenant := shop(7)
	c.Reset(at(10), tenants(tenant))
	c.Prove(time.Now(), testBound)
	return c, tenant
}

func TestOneFlightForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		land := make(chan struct{})
		c, tenant := proven(t, func(context.Context, Want) (Filled, error) {
			<-land
			return Filled{Revision: at(10), Record: consent.Record{9}}, nil
		})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if r, err := c.Record(t.Context(), tenant, "anna"); err != nil || !slices.Equal(r, consent.Record{9}) {
					t.Errorf("record %v, %v", r, err)
				}
			})
		}
		synctest.Wait()
		close(land)
		all.Wait()
		if n := c.Stats().Fills; n != 1 {
			t.Errorf("%d fills for 20 who asked at once, want 1", n)
		}
		c.Close()
	})
}

func TestGivingUpAFlightIsNobodyElsesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		c, tenant := proven(t, func(ctx context.Context, w Want) (Filled, error) {
			if first {
				first = false
				<-ctx.Done()
				return Filled{}, ctx.Err()
			}
			return Filled{Revision: w.AtLeast}, nil
		})
		short, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := c.Record(short, tenant, "anna"); !errors.Is(err, context.Canceled) {
				t.Errorf("the one who gave up got %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if r, err := c.Record(t.Context(), tenant, "anna"); r != nil || err != nil {
				t.Errorf("the other one got %v, %v", r, err)
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
		c.Close()
	})
}

func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fill func(context.Context, Want) (Filled, error)
		c, tenant := proven(t, func(ctx context.Context, w Want) (Filled, error) { return fill(ctx, w) })
		broken := errors.New("no replica answers")
		tests := []struct {
			name string
			fill func(context.Context, Want) (Filled, error)
			want error
		}{
			{"the fill fails", func(context.Context, Want) (Filled, error) { return Filled{}, broken }, broken},
			{"another epoch", func(context.Context, Want) (Filled, error) {
				return Filled{Revision: consent.Revision{Epoch: 8, Index: 99}}, nil
			}, consent.ErrNotReady},
			{"older than wanted", func(context.Context, Want) (Filled, error) { return Filled{Revision: at(9)}, nil }, consent.ErrStale},
			{"never an answer", func(ctx context.Context, _ Want) (Filled, error) {
				<-ctx.Done()
				return Filled{}, ctx.Err()
			}, consent.ErrStale},
			{"never so far", func(context.Context, Want) (Filled, error) { return Filled{Revision: at(11)}, nil }, consent.ErrStale},
		}
		for _, tt := range tests {
			fill = tt.fill
			c.Prove(time.Now(), testBound)
			if _, err := c.Record(t.Context(), tenant, tt.name); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		c.Close()
		if _, err := c.Record(t.Context(), tenant, "anna"); !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("closed: %v, want ErrNotReady", err)
		}
	})
}

// That nothing is known of a subject is held too.
func TestNothingIsHeldToo(t *testing.T) {
	c, tenant := proven(t, func(context.Context, Want) (Filled, error) { return Filled{Revision: at(10)}, nil })
	if _, err := c.Record(t.Context(), tenant, "nobody"); err != nil {
		t.Fatal(err)
	}
	c.shelf.Wait()
	if _, r, here := c.Held(tenant, "nobody"); r != nil || !here {
		t.Errorf("held %v, %t, want nothing, held", r, here)
	}
}

// Another subject under the same word of the key, and the same id of another tenant or epoch, don't answer.
func TestNobodyAnswersForAnother(t *testing.T) {
	k := newHasher().of(1, "anna")
	e := newEntry(k, Filled{Revision: at(10), Bucket: 3, Record: consent.Record{1}})
	if !e.isOf(k, 7) {
		t.Error("an entry isn't its own subject's")
	}
	for bit := range 64 - checkShift { // none of them wasted on what the place tells already
		other := key{k.first, k.second ^ 1<<bit}
		if e.isOf(other, 7) || other.place() != k.place() {
			t.Errorf("bit %d: an entry answers for a subject with the same first word", bit)
		}
	}
	if e.isOf(k, 8) {
		t.Error("an entry answers in another epoch")
	}
	h := newHasher()
	if h.of(1, "anna").place() == h.of(2, "anna").place() {
		t.Error("an id of two tenants has one key")
	}
}

// Positions of two epochs may be the same, and mean nothing to each other: neither a record nor a proof goes with a cache into another one.
func TestNothingOfAnotherEpochCounts(t *testing.T) {
	c, tenant := proven(t, func(_ context.Context, w Want) (Filled, error) {
		return Filled{Revision: w.AtLeast, Record: consent.Record{w.AtLeast.Epoch}}, nil
	})
	if _, err := c.Record(t.Context(), tenant, "anna"); err != nil {
		t.Fatal(err)
	}
	c.shelf.Wait()
	tenant = shop(8)
	c.Reset(consent.Revision{Epoch: 8, Index: 10}, tenants(tenant))
	if v := c.View(); v.Head != nil {
		t.Errorf("a view of %v before a proof of it", v.Revision)
	}
	if _, err := c.Record(t.Context(), tenant, "anna"); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("before a proof: %v, want ErrNotReady", err)
	}
	c.Prove(time.Now(), testBound)
	if got, err := c.Record(t.Context(), tenant, "anna"); err != nil || !slices.Equal(got, consent.Record{8}) {
		t.Errorf("record %v, %v, want that of the epoch", got, err)
	}
}

func TestAHitAllocatesNothing(t *testing.T) {
	if pausing {
		t.Skip("the race detector allocates")
	}
	c, tenant := proven(t, func(context.Context, Want) (Filled, error) { return Filled{Revision: at(10), Record: usualRecord}, nil })
	_, _ = c.Record(t.Context(), tenant, "anna")
	c.shelf.Wait()
	hit := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, _, err := c.Look(context.Background(), tenant, "anna"); err != nil {
				b.Fatal(err)
			}
		}
	})
	if hit.AllocsPerOp() > 0 || hit.AllocedBytesPerOp() > 16 {
		t.Errorf("a hit allocates %d times, %d bytes; the library's own are about 8 bytes", hit.AllocsPerOp(), hit.AllocedBytesPerOp())
	}
}
