package mailinglist

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// Gathered is what lists say of the subjects that have more than one row, as somebody who is in the export of subscribers and in that
// of the unsubscribed. Who decides about such a row by its own events alone misses the withdrawal.
type Gathered struct {
	subjects map[string]*gathered
}

// gathered is what all rows of a subject say.
type gathered struct {
	events []*consentv1.Event
	err    error
}

// Gather reads the lists twice, first for who has several rows, then for what these say, and keeps only that. The errors are those of
// Open and Next. Standard input can't be read twice.
func Gather(paths []string, o Options) (*Gathered, error) {
	seed := maphash.MakeSeed()
	rows, several := map[uint64]bool{}, map[uint64]bool{}
	err := eachRow(paths, o, func(row Row) {
		if row.Subject == "" {
			return
		}
		key := maphash.String(seed, normalSubject(row.Subject))
		if rows[key] {
			several[key] = true
		}
		rows[key] = true
	})
	if err != nil {
		return nil, err
	}
	clear(rows)
	g := &Gathered{subjects: map[string]*gathered{}}
	err = eachRow(paths, o, func(row Row) {
		if subject := normalSubject(row.Subject); several[maphash.String(seed, subject)] {
			g.add(subject, row)
		}
	})
	return g, err
}

func (g *Gathered) add(subject string, row Row) {
	of := g.subjects[subject]
	if of == nil {
		of = &gathered{}
		g.subjects[subject] = of
	}
	if row.Err != nil && of.err == nil {
		of.err = fmt.Errorf("another row of the same subject, line %d of %s, can't be used: %w", row.Line, row.File, row.Err)
	}
	of.events = append(of.events, row.Events...)
}

// Events returns the events of all rows of the row's subject, in the order of the rows. The error is that of the row, or of another row
// of the same subject: what that one says isn't known, and it may be a withdrawal.
func (g *Gathered) Events(row Row) ([]*consentv1.Event, error) {
	if row.Err != nil {
		return nil, row.Err
	}
	if of := g.subjects[normalSubject(row.Subject)]; of != nil {
		return of.events, of.err
	}
	return row.Events, nil
}

func eachRow(paths []string, o Options, f func(Row)) error {
	r, err := Open(paths, o)
	if err != nil {
		return err
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Close()
		}
		if err != nil {
			return errors.Join(err, r.Close())
		}
		f(row)
	}
}
