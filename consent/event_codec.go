package consent

import (
	"encoding/binary"
	"errors"
)

// errEvent is returned by DecodeEvent.
var errEvent = errors.New("these bytes encode no event")

// An event is encoded as a version byte, its kind, its time as a signed varint, the set of its fields as a varint, and then those
// fields, in the order of these constants. An absent field is its zero value; a present one never is. So there is one encoding for
// each event, and equal events have equal bytes.
const eventVersion = 1

type fields uint64

const (
	fieldPermissions fields = 1 << iota
	fieldPurposes
	fieldChannels
	fieldNoticeVersion
	fieldNoticeHash
	fieldMethod
	fieldSource
	fieldReference
	fieldExplicit // no more than its presence
	fieldOverridesRestriction
	fieldValidFrom
	fieldExpiresAt
	fieldObjection
	fieldGrantAt
	fieldAttributes
	fieldsEnd
)

// The fields of attributes. An answer has a bit for being known, and one for yes.
const (
	fieldBirthDate fields = 1 << iota
	fieldCountry
	fieldRelationship
	fieldGuardian
	fieldGuardianYes
	fieldSale
	fieldSaleYes
	fieldOptOut
	fieldOptOutYes
	fieldContract
	fieldContractYes
	fieldBusiness
	fieldBusinessYes
	attributeFieldsEnd
)

// AppendEvent appends the event's encoding, as log and ledger hold it.
func AppendEvent(dst []byte, e Event) []byte {
	has := e.fields()
	dst = append(dst, eventVersion, byte(e.Kind))
	dst = binary.AppendVarint(dst, int64(e.OccurredAt))
	dst = binary.AppendUvarint(dst, uint64(has))
	dst = appendList(dst, e.Scope.Permissions)
	dst = appendList(dst, e.Scope.Purposes)
	dst = appendList(dst, e.Scope.Channels)
	if has&fieldNoticeVersion != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.Evidence.NoticeVersion))
	}
	dst = appendText(dst, e.Evidence.NoticeHash)
	dst = appendByte(dst, byte(e.Evidence.Method))
	dst = appendText(dst, e.Evidence.Source)
	dst = appendText(dst, e.Evidence.Reference)
	dst = appendTime(dst, e.Terms.ValidFrom)
	dst = appendTime(dst, e.Terms.ExpiresAt)
	dst = appendByte(dst, byte(e.Objection))
	dst = appendTime(dst, e.GrantAt)
	if has&fieldAttributes != 0 {
		dst = appendAttributes(dst, &e.Attributes)
	}
	return dst
}

func (e Event) fields() fields {
	var has fields
	for _, field := range [...]struct {
		field   fields
		present bool
	}{
		{fieldPermissions, len(e.Scope.Permissions) > 0},
		{fieldPurposes, len(e.Scope.Purposes) > 0},
		{fieldChannels, len(e.Scope.Channels) > 0},
		{fieldNoticeVersion, e.Evidence.NoticeVersion != 0},
		{fieldNoticeHash, e.Evidence.NoticeHash != ""},
		{fieldMethod, e.Evidence.Method != 0},
		{fieldSource, e.Evidence.Source != ""},
		{fieldReference, e.Evidence.Reference != ""},
		{fieldExplicit, e.Terms.Explicit},
		{fieldOverridesRestriction, e.Terms.OverridesRestriction},
		{fieldValidFrom, e.Terms.ValidFrom != 0},
		{fieldExpiresAt, e.Terms.ExpiresAt != 0},
		{fieldObjection, e.Objection != 0},
		{fieldGrantAt, e.GrantAt != 0},
		{fieldAttributes, e.Attributes != Attributes{}},
	} {
		if field.present {
			has |= field.field
		}
	}
	return has
}

func appendList(dst []byte, names []string) []byte {
	if len(names) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, name := range names {
		dst = binary.AppendUvarint(dst, uint64(len(name)))
		dst = append(dst, name...)
	}
	return dst
}

func appendText(dst []byte, text string) []byte {
	if text == "" {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

func appendByte(dst []byte, b byte) []byte {
	if b == 0 {
		return dst
	}
	return append(dst, b)
}

func appendTime(dst []byte, t Time) []byte {
	if t == 0 {
		return dst
	}
	return binary.AppendVarint(dst, int64(t))
}

func appendAttributes(dst []byte, a *Attributes) []byte {
	var has fields
	if a.BirthDate != nil {
		has |= fieldBirthDate
	}
	if a.Country != nil {
		has |= fieldCountry
	}
	if a.Relationship != 0 {
		has |= fieldRelationship
	}
	for _, answer := range [...]struct {
		field fields
		yes   *bool
	}{
		{fieldGuardian, a.GuardianAuthorised}, {fieldSale, a.AddressFromSale}, {fieldOptOut, a.OptOutNoticeGiven},
		{fieldContract, a.ContractActive}, {fieldBusiness, a.Business},
	} {
		if answer.yes != nil {
			has |= answer.field
			if *answer.yes {
				has |= answer.field << 1
			}
		}
	}
	dst = binary.AppendUvarint(dst, uint64(has))
	if d := a.BirthDate; d != nil {
		dst = binary.AppendUvarint(dst, uint64(d.Year))
		dst = append(dst, d.Month, d.Day)
	}
	if a.Country != nil {
		dst = binary.AppendUvarint(dst, uint64(len(*a.Country)))
		dst = append(dst, *a.Country...)
	}
	return appendByte(dst, byte(a.Relationship))
}
