package cache

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
)

// usualRecord is one of four grants.
var usualRecord = make(consent.Record, 10)

// filledCache returns a cache with room for all of some subjects, and their names.
func filledCache(b *testing.B, subjects int) (*Cache, *consent.Tenant, []string) {
	b.Helper()
	c, err := New(Options{MaxBytes: 256 << 20, Fill: func(_ context.Context, w Want) (Filled, error) {
		return Filled{Revision: w.AtLeast, Bucket: 5, Record: usualRecord}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	tenant := shop(7)
	c.Reset(at(10), tenants(tenant))
	c.Prove(time.Now(), time.Hour)
	names := make([]string, subjects)
	for i := range names {
		names[i] = fmt.Sprintf("customer-%010d", i)
		if _, err := c.Record(b.Context(), tenant, names[i]); err != nil {
			b.Fatal(err)
		}
		if i%512 == 0 {
			c.shelf.Wait()
		}
	}
	c.shelf.Wait()
	return c, tenant, names
}

func BenchmarkHit(b *testing.B) {
	for _, subjects := range []int{1, 1000, 100_000} {
		c, tenant, names := filledCache(b, subjects)
		held := map[string]consent.Record{}
		for _, name := range names {
			held[name] = usualRecord
		}
		var fresh bool
		b.Run(fmt.Sprintf("cache/%d", subjects), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				v := c.View()
				r, err := c.Record(b.Context(), tenant, names[i%subjects])
				if err != nil || len(r) == 0 {
					b.Fatal(err)
				}
				if _, fresh = v.Age(time.Now()); !fresh {
					b.Fatal("stale")
				}
			}
		})
		b.Run(fmt.Sprintf("map/%d", subjects), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				name := names[i%subjects]
				if c.keys.of(1, name) == (key{}) || len(held[name]) == 0 || time.Now().IsZero() {
					b.Fatal()
				}
			}
		})
	}
}
