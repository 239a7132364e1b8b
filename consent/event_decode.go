package consent

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DecodeEvent returns the event that data encodes. All of data has to be used up.
func DecodeEvent(data []byte) (Event, error) {
	d := decoder{rest: data}
	e := d.event()
	if d.fault == "" && len(d.rest) != 0 {
		d.fail("bytes are left over")
	}
	if d.fault != "" {
		return Event{}, fmt.Errorf("%w: %s", errEvent, d.fault)
	}
	return e, nil
}

// decoder reads from the front of rest. After a fault, it reads zeros.
type decoder struct {
	rest  []byte
	fault string
}

func (d *decoder) fail(fault string) {
	if d.fault == "" {
		d.fault = fault
	}
	d.rest = nil
}

func (d *decoder) event() Event {
	var e Event
	if d.byte() != eventVersion {
		d.fail("the version is unknown")
	}
	if e.Kind = EventKind(d.byte()); e.Kind < Granted || e.Kind > Erased {
		d.fail("the kind is unknown")
	}
	e.OccurredAt = d.time()
	has := d.fields(fieldsEnd)
	e.Scope.Permissions = d.list(has & fieldPermissions)
	e.Scope.Purposes = d.list(has & fieldPurposes)
	e.Scope.Channels = d.list(has & fieldChannels)
	if has&fieldNoticeVersion != 0 {
		e.Evidence.NoticeVersion = uint32(d.number(math.MaxUint32))
		d.need(e.Evidence.NoticeVersion != 0)
	}
	e.Evidence.NoticeHash = d.presentText(has & fieldNoticeHash)
	e.Evidence.Method = Method(d.presentByte(has & fieldMethod))
	e.Evidence.Source = d.presentText(has & fieldSource)
	e.Evidence.Reference = d.presentText(has & fieldReference)
	e.Terms.Explicit = has&fieldExplicit != 0
	e.Terms.OverridesRestriction = has&fieldOverridesRestriction != 0
	e.Terms.ValidFrom = d.presentTime(has & fieldValidFrom)
	e.Terms.ExpiresAt = d.presentTime(has & fieldExpiresAt)
	e.Objection = ObjectionKind(d.presentByte(has & fieldObjection))
	e.GrantAt = d.presentTime(has & fieldGrantAt)
	if has&fieldAttributes != 0 {
		e.Attributes = d.attributes()
	}
	return e
}

func (d *decoder) attributes() Attributes {
	var a Attributes
	has := d.fields(attributeFieldsEnd)
	d.need(has != 0)
	if has&fieldBirthDate != 0 {
		a.BirthDate = &Date{Year: uint16(d.number(math.MaxUint16)), Month: d.byte(), Day: d.byte()}
	}
	if has&fieldCountry != 0 {
		country := d.text()
		a.Country = &country
	}
	a.Relationship = Relationship(d.presentByte(has & fieldRelationship))
	a.GuardianAuthorised = d.answer(has, fieldGuardian)
	a.AddressFromSale = d.answer(has, fieldSale)
	a.OptOutNoticeGiven = d.answer(has, fieldOptOut)
	a.ContractActive = d.answer(has, fieldContract)
	a.Business = d.answer(has, fieldBusiness)
	return a
}

func (d *decoder) answer(has, field fields) *bool {
	yes := has&(field<<1) != 0
	if has&field != 0 {
		return &yes
	}
	if yes {
		d.fail("an answer is yes and not known")
	}
	return nil
}

// need fails unless a field that is present has a value.
func (d *decoder) need(ok bool) {
	if !ok {
		d.fail("a field is present and empty")
	}
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail("bytes are missing")
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

// number reads a varint in its shortest form, of at most most.
func (d *decoder) number(most uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || n > 1 && d.rest[n-1] == 0 || v > most {
		d.fail("a number is cut off, too long or too large")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) time() Time {
	v := d.number(math.MaxUint64)
	return Time(v>>1) ^ -Time(v&1)
}

func (d *decoder) fields(end fields) fields { return fields(d.number(uint64(end - 1))) }

func (d *decoder) text() string {
	n := int(d.number(uint64(len(d.rest))))
	if n > len(d.rest) {
		d.fail("bytes are missing")
		return ""
	}
	text := string(d.rest[:n])
	d.rest = d.rest[n:]
	return text
}

func (d *decoder) list(present fields) []string {
	if present == 0 {
		return nil
	}
	n := d.number(uint64(len(d.rest)))
	d.need(n != 0)
	names := make([]string, 0, min(n, maxNames))
	for range n {
		names = append(names, d.text())
		if d.fault != "" {
			return nil
		}
	}
	return names
}

func (d *decoder) presentText(present fields) string {
	if present == 0 {
		return ""
	}
	text := d.text()
	d.need(text != "")
	return text
}

func (d *decoder) presentByte(present fields) byte {
	if present == 0 {
		return 0
	}
	b := d.byte()
	d.need(b != 0)
	return b
}

func (d *decoder) presentTime(present fields) Time {
	if present == 0 {
		return 0
	}
	t := d.time()
	d.need(t != 0)
	return t
}
