package consent

import (
	"slices"
	"time"

	"pgregory.net/rapid"
)

// The generators of policies, histories, questions and times that all properties share. Times are few, so that deadlines are met to
// the millisecond often.

const genDay = Time(24 * time.Hour / time.Millisecond)

var (
	genStart = TimeOf(time.Date(2024, time.March, 1, 9, 0, 0, 0, time.UTC))
	genKinds = map[string]Kind{
		"newsletter/email": KindEmail, "newsletter/phone": KindPhone, "newsletter/post": KindPost, "ads/web": KindWeb,
		"ads/push": KindPush, "ads/email": KindEmail, "crm": KindNone,
	}
	genPermissions = []string{"newsletter/email", "newsletter/phone", "newsletter/post", "ads/web", "ads/push", "ads/email", "crm"}
	genPurposes    = []string{"newsletter", "ads", "crm"}
	genChannels    = []string{"email", "phone", "post", "web", "push"}
	genBases       = []Basis{
		BasisConsent, BasisExistingCustomer, BasisLegitimateInterest, BasisPresumedConsent, BasisContract, BasisLegalObligation,
		BasisVitalInterest, BasisPublicTask,
	}
)

// genContext is what generated histories are folded with.
var genContext = func() FoldContext {
	names, err := (*Names)(nil).AddScope(Scope{
		Permissions: append(slices.Clone(genPermissions), genPurposes...), Purposes: genPurposes, Channels: genChannels,
	})
	if err != nil {
		panic(err)
	}
	return FoldContext{Tenant: 3, Names: names, Index: 77}
}()

func genBound(name string) *Permission {
	p := &Permission{Name: name, ID: genContext.Names.ID(PermissionName, name), Kind: genKinds[name]}
	p.PurposeID, p.ChannelID = genContext.Names.Parts(p.ID)
	_, p.Purpose = genContext.Names.Name(p.PurposeID)
	if p.ChannelID != 0 {
		_, p.Channel = genContext.Names.Name(p.ChannelID)
	}
	return p
}

// scenario is a permission, a subject's history in the order of arrival, and a question.
type scenario struct {
	p       *Permission
	history []Event
	q       Question
	now     Time
}

func (s scenario) record() Record { return FoldHistory(s.history, genContext) }

func (s scenario) decide() Decision { return Decide(s.p, s.record(), s.q, s.now) }

// with returns the scenario after one more event.
func (s scenario) with(e Event) scenario {
	s.history = append(slices.Clone(s.history), e)
	return s
}

// last returns a time later than every event.
func (s scenario) last() Time {
	last := genStart
	for _, e := range s.history {
		last = max(last, e.OccurredAt)
	}
	return last + 1
}

func drawScenario(t *rapid.T) scenario {
	p := drawPermission(t)
	history := drawStory(t, p)
	return scenario{p, history, drawQuestion(t), drawNow(t)}
}

// seldom is true once in n times.
func seldom(t *rapid.T, n int, label string) bool { return rapid.IntRange(1, n).Draw(t, label) == n }

func seldomText(t *rapid.T, n int, label string) string {
	if seldom(t, n, label) {
		return label
	}
	return ""
}

func drawPermission(t *rapid.T) *Permission {
	p := genBound(rapid.SampledFrom(genPermissions).Draw(t, "permission"))
	p.Bases = drawBases(t)
	p.DirectMarketing = rapid.Bool().Draw(t, "direct marketing")
	p.ProfilingForMarketing = seldom(t, 4, "profiling")
	p.ProfiledAdsOnline = seldom(t, 8, "profiled ads")
	p.SignificantDecision = seldom(t, 8, "significant decision")
	p.TerminalEquipment = seldom(t, 6, "terminal equipment")
	p.StrictlyNecessary = rapid.Bool().Draw(t, "strictly necessary")
	p.NecessaryForContract = !seldom(t, 4, "not necessary for contract")
	if p.SpecialCategory = seldom(t, 6, "special category"); p.SpecialCategory {
		for _, b := range genBases[1:] { // consent has to be explicit: a policy names no ground for it
			p.Article9Ground[b] = seldomText(t, 2, "Art. 9(2)")
		}
	}
	p.ErasureExemption = seldomText(t, 3, "exempt from erasure")
	p.RestrictionExemption = seldomText(t, 4, "exempt from restriction")
	drawConsentTerms(t, p)
	p.NoticeAtCollect = !seldom(t, 6, "no notice")
	p.Assessment = seldomText(t, 2, "assessment")
	p.Relationships = rapid.SampledFrom([]uint8{0, 0, 1 << RelationshipCustomer, 1<<RelationshipCustomer | 1<<RelationshipFormerCustomer,
		1 << RelationshipNone}).Draw(t, "relationships")
	p.PresumedGrounds = seldomText(t, 2, "presumed")
	p.Statute = seldomText(t, 2, "statute")
	p.OverridingGround = seldomText(t, 2, "overriding")
	p.PushIsNoMail = rapid.Bool().Draw(t, "push is no mail")
	return p
}

func drawConsentTerms(t *rapid.T, p *Permission) {
	p.ProofRequired = rapid.Bool().Draw(t, "proof required")
	p.DoubleOptIn = rapid.Bool().Draw(t, "double opt-in")
	days := func(n int, label string) int64 {
		return int64(rapid.SampledFrom([]Time{0, 0, 3 * genDay, 12 * genDay}).Draw(t, label)) * int64(min(n, 1))
	}
	p.ConfirmWithin = days(1, "confirm within")
	p.ExpiresAfter = days(1, "expires after")
	p.DormantAfter = days(1, "dormant after")
	p.NoticeMin = rapid.SampledFrom([]uint32{0, 1, 2, 2, 5}).Draw(t, "notice min")
	p.AgeOfConsent = rapid.SampledFrom([]uint8{0, 13, 16}).Draw(t, "age of consent")
	p.AgeByCountry = map[[2]byte]uint8{{'A', 'T'}: 14}
}

func drawBases(t *rapid.T) []Basis {
	if seldom(t, 40, "no basis") {
		return nil
	}
	bases := rapid.SliceOfNDistinct(rapid.SampledFrom(genBases), 1, 4, rapid.ID[Basis]).Draw(t, "bases")
	if i := slices.Index(bases, BasisConsent); i > 0 && !seldom(t, 10, "consent not first") {
		bases[0], bases[i] = bases[i], bases[0]
	}
	return bases
}

func drawQuestion(t *rapid.T) Question {
	return Question{
		SubjectType:  SubjectType(rapid.IntRange(0, 2).Draw(t, "subject type")),
		SimilarGoods: rapid.Bool().Draw(t, "similar goods"),
	}
}

// drawNow draws a time around those of events and deadlines.
func drawNow(t *rapid.T) Time {
	return genStart + Time(rapid.Int64Range(0, 40).Draw(t, "day"))*genDay + Time(rapid.Int64Range(-1, 1).Draw(t, "off by"))
}

// drawStory draws up to fourteen events, in any order, on distinct days; but a "no" may share the instant of another event, and a
// grant that of another grant. One story in four is of grants for the most part, more than a record keeps.
func drawStory(t *rapid.T, p *Permission) []Event {
	days := rapid.SliceOfNDistinct(rapid.Int64Range(0, 25), 0, 14, rapid.ID[int64]).Draw(t, "days")
	kinds := genEventKinds
	if seldom(t, 4, "grants for the most part") {
		kinds = genGrantKinds
	}
	var history []Event
	for _, day := range days {
		at := genStart + Time(day)*genDay
		e := drawChapter(t, p, kinds, at)
		if e.IsNo() && len(history) > 0 && seldom(t, 4, "tie") {
			e.OccurredAt = history[0].OccurredAt
		}
		if earlier := grantTimes(history); len(earlier) > 0 {
			switch {
			case e.Kind == Granted && !e.IsNo() && seldom(t, 5, "at the same instant"):
				e.OccurredAt = rapid.SampledFrom(earlier).Draw(t, "instant")
			case e.Kind == EvidenceAdded && rapid.Bool().Draw(t, "of an earlier grant"):
				e.GrantAt = rapid.SampledFrom(earlier).Draw(t, "grant at")
			}
		}
		history = append(history, e)
	}
	return history
}

func grantTimes(history []Event) []Time {
	var times []Time
	for _, e := range history {
		if e.Kind == Granted {
			times = append(times, e.OccurredAt)
		}
	}
	return times
}

var genEventKinds = []EventKind{
	Granted, Granted, Granted, Granted, Granted, Confirmed, Confirmed, EvidenceAdded, EvidenceAdded, AttributesSet, AttributesSet,
	Requested, Refused, Withdrawn, Objected, ObjectionLifted, Invalidated, Used, Suppressed, Unsuppressed, Undeliverable, Deliverable,
	Restricted, Unrestricted, GroundsRecorded, Erased,
}

var genGrantKinds = []EventKind{
	Granted, Granted, Granted, Granted, Granted, Granted, Granted, Confirmed, EvidenceAdded, EvidenceAdded, AttributesSet, Objected,
	Withdrawn,
}

// drawChapter draws an event, more often one that makes an ALLOW likely.
func drawChapter(t *rapid.T, p *Permission, kinds []EventKind, at Time) Event {
	e := Event{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), OccurredAt: at}
	switch e.Kind {
	case Granted, Requested, Confirmed, EvidenceAdded, Used:
		e.Scope.Permissions = []string{p.Name}
		if seldom(t, 6, "another permission") {
			e.Scope.Permissions = drawNames(t, 1, genPermissions)
		}
	case Suppressed, Unsuppressed, Restricted, Unrestricted, AttributesSet, Erased:
	default:
		e.Scope = drawScope(t, p)
	}
	switch e.Kind {
	case Granted:
		e.Evidence, e.Terms = drawProof(t), drawGrantTerms(t, at)
	case EvidenceAdded:
		if e.Evidence = drawProof(t); e.Evidence.Method == MethodPreTicked { // which ValidateEvent refuses
			e.Evidence.Method = MethodPaper
		}
		if seldom(t, 3, "names its grant") {
			e.GrantAt = genStart + Time(rapid.Int64Range(0, 25).Draw(t, "grant of day"))*genDay
		}
	case Objected, ObjectionLifted:
		e.Objection = ObjectionKind(rapid.IntRange(0, 2).Draw(t, "objection"))
	case AttributesSet:
		e.Attributes = drawLikelyAttributes(t)
	}
	return e
}

func drawScope(t *rapid.T, p *Permission) Scope {
	switch rapid.IntRange(0, 5).Draw(t, "scope") {
	case 0, 1:
		return Scope{Permissions: []string{p.Name}}
	case 2:
		if seldom(t, 3, "written as a permission") {
			return Scope{Permissions: []string{p.Purpose}}
		}
		return Scope{Purposes: []string{p.Purpose}}
	case 3:
		return Scope{Permissions: drawNames(t, 0, genPermissions), Channels: drawNames(t, 1, genChannels)}
	case 4:
		return Scope{Purposes: drawNames(t, 0, genPurposes), Channels: drawNames(t, 0, genChannels)}
	default:
		return Scope{}
	}
}

func drawProof(t *rapid.T) Evidence {
	e := Evidence{
		NoticeVersion: rapid.Uint32Range(0, 6).Draw(t, "notice"), Method: MethodWebForm, Source: "shop", Reference: "forms/1",
	}
	switch rapid.IntRange(0, 9).Draw(t, "proof") {
	case 0:
		e.Method = MethodUnknown
	case 1:
		e.Source = ""
	case 2:
		e.Reference = ""
	case 3:
		e.Method, e.Source, e.Reference = MethodUnknown, "", ""
	case 4:
		e.Method = MethodPreTicked
	}
	return e
}

func drawGrantTerms(t *rapid.T, at Time) Terms {
	terms := Terms{Explicit: rapid.Bool().Draw(t, "explicit"), OverridesRestriction: rapid.Bool().Draw(t, "overrides restriction")}
	if seldom(t, 5, "valid from") {
		terms.ValidFrom = at + 5*genDay
	}
	if seldom(t, 5, "expires at") {
		terms.ExpiresAt = at + 9*genDay
	}
	return terms
}

func drawLikelyAttributes(t *rapid.T) Attributes {
	likely := func(label string) *bool {
		switch rapid.IntRange(0, 3).Draw(t, label) {
		case 0:
			return nil
		case 1:
			return new(bool)
		default:
			yes := true
			return &yes
		}
	}
	a := Attributes{
		GuardianAuthorised: likely("guardian"), AddressFromSale: likely("sale"), OptOutNoticeGiven: likely("opt-out"),
		ContractActive: likely("contract"), Business: likely("business"),
		Relationship: rapid.SampledFrom([]Relationship{0, 1, 2, 2, 2, 3}).Draw(t, "relationship"),
		Country:      rapid.Ptr(rapid.SampledFrom([]string{"AT", "DE", ""}), true).Draw(t, "country"),
	}
	if rapid.Bool().Draw(t, "birth date set") {
		birth := rapid.SampledFrom([]Date{{}, {1980, 1, 1}, {2006, 3, 11}, {2008, 2, 29}, {2008, 3, 10}, {2010, 3, 10}}).Draw(t, "birth date")
		a.BirthDate = &birth
	}
	return a
}
