package consent

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fourGrants returns the record of a subject with four permissions, each given, proven and confirmed under a known notice.
func fourGrants(tb testing.TB, c FoldContext) Record {
	tb.Helper()
	e := over(granted(1_700_000_000_000), Scope{Permissions: foldPermissions})
	e.Evidence.NoticeVersion = 2024050101
	confirmation := over(at(e.OccurredAt+3_600_000, Confirmed), e.Scope)
	return FoldHistory([]Event{e, confirmation}, c)
}

// With 16 bytes of key, some 10 of index and an eighth of slack, ten words stay under 128 bytes.
func TestFourGrantsTakeTenWords(t *testing.T) {
	c := foldContext(t)
	r := fourGrants(t, c)
	if len(r) != 10 {
		t.Errorf("a record of four grants takes %d words, want 10", len(r))
	}
	got := r.Consent(bound(c.Names, phone))
	want := Consent{State: StateGiven, Since: 1_700_000_000_000, ConfirmedAt: 1_700_003_600_000, NoticeVersion: 2024050101, Proven: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("consent (-want +got):\n%s", diff)
	}
}

func TestHeader(t *testing.T) {
	c := foldContext(t)
	c.Index, c.Tenant = 1<<42-1, MaxTenant
	r, _ := Fold(nil, granted(MaxTime), c)
	if r.Index() != c.Index || r.Tenant() != c.Tenant || r.Newest() != MaxTime {
		t.Errorf("index, tenant, newest are %d, %d, %d", r.Index(), r.Tenant(), r.Newest())
	}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
}

func TestIndexIsThatOfTheLastChange(t *testing.T) {
	c := foldContext(t)
	r, _ := Fold(nil, granted(10), c)
	c.Index++
	r, effect := Fold(r, at(20, Requested), c)
	if effect != Superseded || r.Index() != c.Index-1 || r.Newest() != 20 {
		t.Errorf("effect %d, index %d, newest %d: want superseded, the index before, and 20", effect, r.Index(), r.Newest())
	}
	r, _ = Fold(r, at(30, Confirmed), c)
	if r.Index() != c.Index {
		t.Errorf("index is %d after a change at %d", r.Index(), c.Index)
	}
}

func TestNilRecord(t *testing.T) {
	var r Record
	p := &Permission{ID: 1, PurposeID: 2, ChannelID: 3}
	if got := r.Consent(p); got != (Consent{}) {
		t.Errorf("consent of nobody: %+v", got)
	}
	if diff := cmp.Diff(Details{}, r.Expand(foldContext(t).Names)); diff != "" {
		t.Errorf("details of nobody (-want +got):\n%s", diff)
	}
	if r.Validate() == nil {
		t.Error("no words are a record")
	}
}

func TestConfirmationTimes(t *testing.T) {
	const day = 24 * 3600 * 1000
	for _, tt := range []struct{ delay, want Time }{
		{0, 0}, {1, 1}, {day, day}, {maxMillis, maxMillis}, {maxMillis + 1, (maxMillis/1000 + 1) * 1000},
		{30 * day, 30 * day}, {30*day + 1, 30*day + 1000}, {365*day - 1, 365 * day}, {60 * 365 * day, 60 * 365 * day},
	} {
		g := grant{permission: 1, at: 10, confirmedAt: 10 + tt.delay}
		if got := grantOf(g.words()).confirmedAt; got != 10+tt.want {
			t.Errorf("confirmed after %d ms, read as %d, want %d", tt.delay, got-10, tt.want)
		}
	}
	g := grant{permission: 1, at: 10, confirmedAt: 10 + 70*365*day}
	if got := grantOf(g.words()).confirmedAt; got != 0 {
		t.Errorf("confirmed after 70 years, read as %d, want none", got)
	}
}

func TestAttributes(t *testing.T) {
	yes, no, country, none := true, false, "AT", ""
	set := func(a Attributes) Event { return Event{Kind: AttributesSet, OccurredAt: 10, Attributes: a} }
	c := foldContext(t)
	everything := Attributes{
		BirthDate: &Date{2011, 7, 24}, Country: &country, Relationship: RelationshipCustomer,
		GuardianAuthorised: &yes, AddressFromSale: &yes, OptOutNoticeGiven: &no, ContractActive: &yes, Business: &yes,
	}
	r, _ := Fold(nil, set(everything), c)
	if diff := cmp.Diff(everything, r.Expand(c.Names).Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if r.BirthDate() != (Date{2011, 7, 24}) || r.Country() != [2]byte{'A', 'T'} || r.Relationship() != RelationshipCustomer ||
		!r.GuardianAuthorised() || !r.AddressFromSale() || r.OptOutNoticeGiven() || !r.ContractActive() || !r.Business() {
		t.Errorf("recorded: %+v", r.Expand(c.Names).Attributes)
	}
	change := set(Attributes{BirthDate: &Date{}, Country: &none, ContractActive: &no, OptOutNoticeGiven: &no})
	change.OccurredAt = 20
	r, effect := Fold(r, change, c)
	want := Attributes{
		Relationship: RelationshipCustomer, GuardianAuthorised: &yes, AddressFromSale: &yes, OptOutNoticeGiven: &no, ContractActive: &no,
		Business: &yes,
	}
	if diff := cmp.Diff(want, r.Expand(c.Names).Attributes); diff != "" || effect != Applied {
		t.Errorf("effect %d, attributes (-want +got):\n%s", effect, diff)
	}
	change.OccurredAt = 30
	if _, effect := Fold(r, change, c); effect != Unchanged {
		t.Errorf("the same attributes again have effect %d", effect)
	}
}

func TestForgottenAttributesTakeNoRoom(t *testing.T) {
	country, none := "AT", ""
	c := foldContext(t)
	r, _ := Fold(nil, Event{Kind: AttributesSet, OccurredAt: 10, Attributes: Attributes{Country: &country}}, c)
	r, effect := Fold(r, Event{Kind: AttributesSet, OccurredAt: 20, Attributes: Attributes{Country: &none}}, c)
	if effect != Applied || len(r) != headerWords {
		t.Errorf("effect %d, and a record of %d words", effect, len(r))
	}
}

func TestExpand(t *testing.T) {
	c := foldContext(t)
	r := FoldHistory([]Event{
		granted(10), at(11, Confirmed), granted(12, unproven), over(all(20, Withdrawn), Scope{Channels: []string{"phone"}}), all(30, Suppressed),
	}, c)
	want := Details{
		Permissions:  []PermissionDetails{{email, given(10, confirmed(11))}, {phone, Consent{State: StateWithdrawn, Since: 20}}},
		Marks:        []MarkDetails{{MarkWithdrawn, ChannelName, "phone", 20}},
		SuppressedAt: 30, Newest: 30, Index: 100,
	}
	if diff := cmp.Diff(want, r.Expand(c.Names)); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}

// read calls every method that a decision calls.
func read(r Record, p *Permission) Consent {
	for kind := range markKinds {
		r.Mark(kind, p)
	}
	r.ErasedAt()
	r.SuppressedAt()
	r.RestrictedAt()
	r.BirthDate()
	r.Country()
	r.Relationship()
	r.GuardianAuthorised()
	r.Newest()
	r.Index()
	return r.Consent(p)
}

func TestReadingAllocatesNothing(t *testing.T) {
	c := foldContext(t)
	p := bound(c.Names, email)
	p.ProofRequired, p.DoubleOptIn = true, true
	marked, _ := Fold(fourGrants(t, c), all(1_800_000_000_000, Objected), c)
	limited := FoldHistory([]Event{granted(10, until(90)), granted(20, unproven, until(95)), granted(30, explicit, unproven)}, c)
	for _, r := range []Record{nil, fourGrants(t, c), marked, limited} {
		if n := testing.AllocsPerRun(100, func() { read(r, p) }); n != 0 {
			t.Errorf("reading a record of %d words allocates %v times", len(r), n)
		}
	}
}

func TestValidateRejects(t *testing.T) {
	c := foldContext(t)
	whole := FoldHistory([]Event{
		granted(10, until(90)), granted(20), over(granted(20), Scope{Permissions: []string{phone}}), over(at(25, Requested),
			Scope{Permissions: []string{"ads/email"}}), all(30, Objected),
		{Kind: AttributesSet, OccurredAt: 30, Attributes: Attributes{Relationship: RelationshipCustomer}},
	}, c)
	if err := whole.Validate(); err != nil {
		t.Fatal(err)
	}
	facts := len(whole) - len(whole.facts())
	limited := FoldHistory([]Event{granted(10, until(90)), granted(20, unproven, until(95))}, c)
	if err := limited.Validate(); err != nil || limited.grantCount() != 2 {
		t.Fatalf("%d grants, %v", limited.grantCount(), err)
	}
	crowded := func(r Record) Record {
		first, second := grant{permission: 1, at: 1}.words()
		for i := range uint64(maxGrants) {
			r = slices.Insert(r, headerWords, first+(maxGrants-i-1)<<flagBits, second)
		}
		r[0] += maxGrants << countShift
		return r
	}
	for _, tt := range []struct {
		name   string
		damage func(Record) Record
	}{
		{"of nothing", func(Record) Record { return Record{formatVersion, 0} }},
		{"too many grants of one permission", crowded},
		{"cut within the header", func(r Record) Record { return r[:1] }},
		{"cut within the grants", func(r Record) Record { return r[:3] }},
		{"too long", func(Record) Record { return make(Record, MaxRecordWords+1) }},
		{"another format", func(r Record) Record { r[0]++; return r }},
		{"unused bits", func(r Record) Record { r[0] |= 1 << formatBits; return r }},
		{"no time", func(r Record) Record { r[0] &= 1<<(64-timeBits) - 1; return r }},
		{"a grant more", func(r Record) Record { r[0] += 1 << countShift; return r }},
		{"a grant less", func(r Record) Record { r[0] -= 1 << countShift; return r }},
		{"a grant without a name", func(r Record) Record { r[2] &= 1<<(64-nameBits) - 1; return r }},
		{"a grant later than the newest", func(r Record) Record { r[2] |= uint64(1) << 40; return r }},
		{"grants out of order", func(r Record) Record { r[2], r[4] = r[4], r[2]; return r }},
		{"a grant twice", func(r Record) Record { r[4] = r[2]; return r }},
		{"confirmed later than the newest", func(r Record) Record { r[3] |= 1 << 30; return r }},
		{"facts out of order", func(r Record) Record { r[facts], r[facts+1] = r[facts+1], r[facts]; return r }},
		{"a fact twice", func(r Record) Record { return slices.Insert(r, facts, r[facts]-1) }},
		{"an unknown fact", func(r Record) Record { return append(r, factKey(factKinds, 0)|1) }},
		{"a fact of zero", func(r Record) Record { r[facts] &^= uint64(MaxTime); return r }},
		{"a fact later than the newest", func(r Record) Record { r[facts] |= 1 << 40; return r }},
		{"suppressed over a name", func(r Record) Record { return slices.Insert(r, facts+2, factKey(factSuppressed, 1)|1) }},
		{"requested of nothing", func(r Record) Record { return slices.Insert(r, facts+2, factKey(factRequested, 0)|1) }},
		{"requested and given", func(r Record) Record {
			return slices.Insert(r, facts+2, factKey(factRequested, c.Names.ID(PermissionName, email))|1)
		}},
		{"terms of no grant", func(r Record) Record { return slices.Insert(r, len(r)-1, factKey(factExpiresAt, 999)|1) }},
		{"terms of a second grant that isn't there", func(r Record) Record {
			return slices.Insert(r, len(r)-1, factKey(factExpiresAt+1, c.Names.ID(PermissionName, email))|95)
		}},
		{"a later grant that ends first", func(Record) Record {
			return append(limited[:len(limited)-1:len(limited)-1], limited[len(limited)-1]-10)
		}},
		{"a later grant that ends alone", func(Record) Record { return slices.Delete(slices.Clone(limited), len(limited)-2, len(limited)-1) }},
		{"a later grant that is earlier", func(Record) Record {
			r := FoldHistory([]Event{granted(10), granted(20, unproven, explicit)}, c)
			r[2], r[3], r[4], r[5] = r[4], r[5], r[2], r[3]
			return r
		}},
		{"a later grant that says it all", func(Record) Record {
			r := slices.Clone(limited)
			r[4] |= uint64(grantProof)
			r[5] = r[3]
			return r
		}},
		{"neither yes nor no", func(r Record) Record { r[len(r)-1] |= 3; return r }},
		{"no letter", func(r Record) Record { r[len(r)-1] |= 31 << countryShift; return r }},
		{"no date", func(r Record) Record { r[len(r)-1] |= 31 << dateShift; return r }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.damage(slices.Clone(whole))
			if r.Validate() == nil {
				t.Errorf("accepted: %x", []uint64(r))
			}
		})
	}
}

// What an earlier version wrote is refused by its format, and never read as something else.
func TestAnotherFormatIsNamed(t *testing.T) {
	r := fourGrants(t, foldContext(t))
	r[0]--
	if err := r.Validate(); !errors.Is(err, errRecord) || !strings.Contains(err.Error(), "of format 1") {
		t.Errorf("a record of format 1: %v", err)
	}
}

// Wherever a later grant allows less than an earlier one, the earlier one counts; and it is always one grant that allows, never parts
// of several.
func TestOneGrantAllowsOrNone(t *testing.T) {
	c := foldContext(t)
	rapid.Check(t, func(t *rapid.T) {
		var events []Event
		var single []held // every grant, with what limits it
		now := Time(0)
		for range rapid.IntRange(1, maxGrants).Draw(t, "grants") {
			now += Time(rapid.Int64Range(1, 30).Draw(t, "gap"))
			e := at(now, Granted)
			e.Evidence, e.Terms = drawEvidence(t), drawTerms(t, now)
			events = append(events, e)
			g := held{grant: newGrant(c.Names.ID(PermissionName, email), &e), expiresAt: e.Terms.ExpiresAt}
			for i := range single {
				if g.expiresAt != 0 && (single[i].expiresAt == 0 || single[i].expiresAt > g.expiresAt) {
					single[i].expiresAt = g.expiresAt
				}
			}
			single = append(single, g)
			if rapid.Bool().Draw(t, "confirm") {
				now += Time(rapid.Int64Range(0, 30).Draw(t, "gap"))
				events = append(events, at(now, Confirmed))
				for i := range single {
					if single[i].confirmedAt == 0 {
						single[i].confirmedAt = now
					}
				}
			}
		}
		p := bound(c.Names, email)
		p.ProofRequired, p.DoubleOptIn = rapid.Bool().Draw(t, "proof"), rapid.Bool().Draw(t, "double opt-in")
		p.ConfirmWithin = rapid.Int64Range(0, 30).Draw(t, "within")
		p.SpecialCategory = rapid.Bool().Draw(t, "special")
		p.NoticeMin = rapid.Uint32Range(0, 3).Draw(t, "notice")
		p.ExpiresAfter = rapid.Int64Range(1, 60).Draw(t, "expires after")
		now += Time(rapid.Int64Range(0, 60).Draw(t, "asked"))

		want := false
		for _, g := range single {
			ended := g.expiresAt != 0 && now >= g.expiresAt
			want = want || g.reach(p, 0) == grantDemands && !ended && now < g.at+Time(p.ExpiresAfter)
		}
		got := FoldHistory(events, c).Consent(p)
		g := grant{at: got.Since, confirmedAt: got.ConfirmedAt, notice: got.NoticeVersion}
		if got.Proven {
			g.flags |= grantProof
		}
		if got.Explicit {
			g.flags |= grantExplicit
		}
		ended := got.ExpiresAt != 0 && now >= got.ExpiresAt
		if allows := g.reach(p, 0) == grantDemands && !ended && now < g.at+Time(p.ExpiresAfter); allows != want {
			t.Fatalf("%+v at %d allows: %v, want %v", got, now, allows, want)
		}
	})
}

// Folding drops what a "no" covers. Should a record have such a grant all the same, it isn't given.
func TestGrantUnderANoIsNotGiven(t *testing.T) {
	c := foldContext(t)
	r, _ := Fold(nil, granted(10), c)
	for kind, state := range map[MarkKind]State{MarkWithdrawn: StateWithdrawn, MarkRefused: StateRefused, MarkInvalidated: StateInvalidated} {
		damaged := append(slices.Clone(r), factKey(factKind(kind), 0)|10)
		if err := damaged.Validate(); err != nil {
			t.Fatal(err)
		}
		if got := damaged.Consent(bound(c.Names, email)); got != (Consent{State: state, Since: 10}) {
			t.Errorf("consent under mark %d: %+v", kind, got)
		}
	}
}

// FuzzRecord holds that what is accepted as a record can be read, and folded on to another record.
func FuzzRecord(f *testing.F) {
	c := foldContext(f)
	for _, r := range []Record{
		fourGrants(f, c),
		FoldHistory([]Event{granted(10, until(90)), granted(20), at(25, Used), all(30, Objected), all(40, Restricted)}, c),
		FoldHistory([]Event{granted(10), granted(20, bareOf(2), until(90)), granted(20, bareOf(1)), granted(30, bareOf(0), until(95))}, c),
		FoldHistory([]Event{all(10, Erased), {Kind: AttributesSet, OccurredAt: 20, Attributes: Attributes{Relationship: 2}}}, c),
	} {
		var data []byte
		for _, word := range r {
			data = binary.BigEndian.AppendUint64(data, word)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := make(Record, len(data)/8)
		for i := range r {
			r[i] = binary.BigEndian.Uint64(data[8*i:])
		}
		if r.Validate() != nil {
			return
		}
		for _, name := range foldPermissions {
			read(r, bound(c.Names, name))
		}
		r.Expand(c.Names)
		if r.Newest() == MaxTime {
			return
		}
		for _, e := range everyEvent() {
			e = e.Clamped(r.Newest() + 1)
			e.OccurredAt = r.Newest() + 1
			if ValidateEvent(e) != nil {
				continue
			}
			if next, _ := Fold(r, e, c); next.Validate() != nil {
				t.Fatalf("%v made of %x no record: %x", e.Kind, []uint64(r), []uint64(next))
			}
		}
	})
}

// BenchmarkConsent reads one permission of a record, beside a hit in a map that is in the processor's cache. In "several" the permission
// has all the grants that a record keeps of one.
func BenchmarkConsent(b *testing.B) {
	c := foldContext(b)
	p := bound(c.Names, phone)
	p.ProofRequired, p.DoubleOptIn = true, true
	marked, _ := Fold(fourGrants(b, c), all(1_800_000_000_000, Objected), c)
	var repeats []Event
	for i := range maxGrants {
		e := over(granted(Time(10+i)), Scope{Permissions: []string{phone}})
		e.Evidence.NoticeVersion = uint32(maxGrants - i)
		repeats = append(repeats, e)
	}
	several := FoldHistory(repeats, c)
	b.Run("map", func(b *testing.B) {
		m := map[Pseudonym]uint64{{1, 2}: 3, {4, 5}: 6}
		for b.Loop() {
			_ = m[Pseudonym{1, 2}]
		}
	})
	for name, r := range map[string]Record{"nobody": nil, "four": fourGrants(b, c), "marked": marked, "several": several} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.Consent(p)
			}
		})
	}
}
