package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
)

// A record of a later position than the one reached is waited for, and the epoch ends meanwhile.
func TestAnEpochEndsWhileARecordWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Options{Fill: func(context.Context, Want) (Filled, error) {
			return Filled{Revision: at(20), Record: consent.Record{1, 2, 3}}, nil
		}})
		tenant := shop(7)
		c.Reset(at(10), tenants(tenant))
		c.Prove(time.Now(), testBound)
		failed := make(chan error, 1)
		go func() {
			_, err := c.Record(t.Context(), tenant, "anna")
			failed <- err
		}()
		synctest.Wait()
		c.Reset(consent.Revision{Epoch: 8, Index: 30}, tenants(shop(8)))
		if err := <-failed; !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("error %v, want ErrNotReady", err)
		}
	})
}
