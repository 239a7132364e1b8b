package server

import (
	"context"

	"github.com/consentd/consentd/consent"
)

// block is a few subjects whose records are read together.
type block struct {
	consent.Block
	subjects [consent.BlockSize]string // as they are behind the door
	places   [consent.BlockSize]int    // where the answer on each belongs
	used     int
}

func (c *core) borrowBlock() *block {
	return c.blocks.Get().(*block) //nolint:errcheck // the pool holds nothing else
}

func (c *core) giveBackBlock(b *block) {
	b.empty()
	c.blocks.Put(b)
}

func (b *block) empty() {
	clear(b.subjects[:b.used])
	clear(b.Records[:b.used])
	b.used = 0
}

func (b *block) full() bool { return b.used == consent.BlockSize }

func (b *block) add(subject string, place int) {
	b.subjects[b.used], b.places[b.used] = subject, place
	b.used++
}

// read reads the records of a block's subjects, of a tenant as it is. It returns errNotNow on a sidecar where one of them isn't here.
func (c *core) read(ctx context.Context, t *consent.Tenant, b *block) (err error) {
	if c.several != nil {
		return c.several.Records(ctx, t, b.subjects[:b.used], &b.Block)
	}
	for i, subject := range b.subjects[:b.used] {
		if _, b.Records[i], err = c.recordNow(ctx, consent.View{}, t, subject, &b.Buffers[i]); err != nil {
			return err
		}
	}
	return nil
}
