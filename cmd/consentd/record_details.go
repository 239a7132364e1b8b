package main

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// detail is a key=value argument of record: what is too rare for a flag.
type detail struct {
	key  string
	help string
	set  func(event *consentv1.Event, value string) error
}

// details are the ones that the verb's event can carry.
func details(v verb) []detail {
	var all []detail
	if v.scope == anyScope {
		all = append(all, scopeDetails()...)
	}
	switch v.kind {
	case consentv1.EventKind_EVENT_KIND_GRANTED:
		all = append(all, grantDetails()...)
	case consentv1.EventKind_EVENT_KIND_REQUESTED:
		all = append(all, noticeHash())
	case consentv1.EventKind_EVENT_KIND_EVIDENCE_ADDED:
		all = append(all, noticeHash(), grantAt())
	case consentv1.EventKind_EVENT_KIND_ATTRIBUTES_SET:
		all = append(all, attributeDetails()...)
	case consentv1.EventKind_EVENT_KIND_OBJECTED, consentv1.EventKind_EVENT_KIND_OBJECTION_LIFTED:
		all = append(all, objectionKind())
	}
	return all
}

func detailKeys(v verb) []string {
	var keys []string
	for _, d := range details(v) {
		keys = append(keys, d.key)
	}
	return keys
}

func detailHelp(v verb) string {
	var text strings.Builder
	for _, d := range details(v) {
		fmt.Fprintf(&text, "  %s=%s\n", d.key, d.help)
	}
	if text.Len() == 0 {
		return ""
	}
	return "\nAs key=value can be said:\n" + text.String()
}

func setDetail(event *consentv1.Event, v verb, key, value string) error {
	all := details(v)
	i := slices.IndexFunc(all, func(d detail) bool { return d.key == key })
	if i < 0 {
		if len(all) == 0 {
			return usageErrorf("record %s takes no %s=", v.name, key)
		}
		return usageErrorf("record %s takes no %s=; there are %s", v.name, key, strings.Join(detailKeys(v), ", "))
	}
	if value == "" {
		return usageErrorf("%s= has no value", key)
	}
	if err := all[i].set(event, value); err != nil {
		return usageErrorf("%s=%s: %w", key, value, err)
	}
	return nil
}

func scopeDetails() []detail {
	return []detail{
		{"purposes", "newsletter,ads    (each over every channel)", func(event *consentv1.Event, value string) error {
			scopeOf(event).Purposes = append(scopeOf(event).GetPurposes(), strings.Split(value, ",")...)
			return nil
		}},
		{"channels", "email,post        (each for every purpose)", func(event *consentv1.Event, value string) error {
			scopeOf(event).Channels = append(scopeOf(event).GetChannels(), strings.Split(value, ",")...)
			return nil
		}},
	}
}

func grantDetails() []detail {
	terms := func(event *consentv1.Event) *consentv1.GrantTerms {
		if event.Terms == nil {
			event.Terms = &consentv1.GrantTerms{}
		}
		return event.GetTerms()
	}
	return []detail{
		timeDetail("valid_from", "(not before)", func(event *consentv1.Event, at *timestamppb.Timestamp) { terms(event).ValidFrom = at }),
		timeDetail("expires_at", "(not from then on)", func(event *consentv1.Event, at *timestamppb.Timestamp) { terms(event).ExpiresAt = at }),
		boolDetail("overrides_restriction", "(Art. 18(2) GDPR)", func(event *consentv1.Event, yes bool) { terms(event).OverridesRestriction = yes }),
		noticeHash(),
	}
}

func noticeHash() detail {
	return detail{"notice_hash", "HEX               (SHA-256 of the notice that was shown)", func(event *consentv1.Event, value string) error {
		hash, err := hex.DecodeString(value)
		if err != nil || len(hash) != 32 {
			return fmt.Errorf("a SHA-256 is written as 64 hexadecimal digits")
		}
		if event.Evidence == nil {
			event.Evidence = &consentv1.Evidence{}
		}
		event.Evidence.NoticeHash = hash
		return nil
	}}
}

func grantAt() detail {
	return timeDetail("grant_at", "(of the grant that it proves; the last one if left out)", func(event *consentv1.Event, at *timestamppb.Timestamp) {
		event.GrantAt = at
	})
}

func objectionKind() detail {
	return detail{"objection", "processing        (Art. 21(1) GDPR alone) or marketing (Art. 21(2) alone)", func(event *consentv1.Event, value string) error {
		kind, err := parseEnum[consentv1.ObjectionKind](value)
		if event.GetObjection() != 0 && event.GetObjection() != kind {
			return fmt.Errorf("--marketing says another kind")
		}
		event.Objection = kind
		return err
	}}
}

func attributeDetails() []detail {
	of := func(event *consentv1.Event) *consentv1.Attributes {
		if event.Attributes == nil {
			event.Attributes = &consentv1.Attributes{}
		}
		return event.GetAttributes()
	}
	return []detail{
		{"relationship", "customer          (or former_customer, none)", func(event *consentv1.Event, value string) (err error) {
			of(event).Relationship, err = parseEnum[consentv1.Relationship](value)
			return err
		}},
		boolDetail("address_from_sale", "(the address was obtained in a sale)", func(event *consentv1.Event, yes bool) { of(event).AddressFromSale = &yes }),
		boolDetail("opt_out_notice_given", "(how to object was said at collection)", func(event *consentv1.Event, yes bool) { of(event).OptOutNoticeGiven = &yes }),
		boolDetail("contract_active", "", func(event *consentv1.Event, yes bool) { of(event).ContractActive = &yes }),
		boolDetail("business", "(acts for a business: Sec. 7(2) no. 1 UWG)", func(event *consentv1.Event, yes bool) { of(event).Business = &yes }),
		boolDetail("guardian_authorised", "(Art. 8 GDPR)", func(event *consentv1.Event, yes bool) { of(event).GuardianAuthorised = &yes }),
		{"birth_date", "2011-07-24        (or none)", func(event *consentv1.Event, value string) error {
			of(event).BirthDate = &value
			return nil
		}},
		{"country", "DE                (or none)", func(event *consentv1.Event, value string) error {
			of(event).Country = &value
			return nil
		}},
	}
}

func timeDetail(key, help string, set func(*consentv1.Event, *timestamppb.Timestamp)) detail {
	return detail{key, "TIME              " + help, func(event *consentv1.Event, value string) error {
		at, err := parseTime(value)
		set(event, timestamppb.New(at))
		return err
	}}
}

func boolDetail(key, help string, set func(*consentv1.Event, bool)) detail {
	return detail{key, strings.TrimSpace("true|false        " + help), func(event *consentv1.Event, value string) error {
		yes, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("say true or false")
		}
		set(event, yes)
		return nil
	}}
}
