package server

import (
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// idList is a list of subject ids, one by one or packed. Packed ids are parts of one string, so that none is allocated.
type idList struct {
	ids     []string
	packed  string
	lengths []uint32
}

// idsOf checks a list of ids for its form. The ids themselves are for the door.
func idsOf(field string, list *consentv1.SubjectList, most int) (idList, error) {
	l := idList{ids: list.GetIds(), lengths: list.GetLengths()}
	if len(l.ids) > 0 && len(l.lengths)+len(list.GetPacked()) > 0 {
		return idList{}, invalid(field, "the ids come both one by one and packed: use one form")
	}
	if n := l.len(); n == 0 || n > most {
		return idList{}, invalid(field, "%d ids: give 1 to %d", n, most)
	}
	if len(l.ids) > 0 {
		return l, nil
	}
	total := uint64(0)
	for _, n := range l.lengths {
		total += uint64(n)
	}
	if have := uint64(len(list.GetPacked())); total != have {
		return idList{}, invalid(field+".lengths", "they add up to %d bytes, packed has %d: give the length in bytes of each id", total, have)
	}
	l.packed = string(list.GetPacked())
	return l, nil
}

func (l *idList) len() int { return len(l.ids) + len(l.lengths) }

// next takes the next id off the list, which is that with number i.
func (l *idList) next(i int) string {
	if len(l.ids) > 0 {
		return l.ids[i]
	}
	n := l.lengths[i]
	id := l.packed[:n]
	l.packed = l.packed[n:]
	return id
}
