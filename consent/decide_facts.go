package consent

import "time"

const (
	adultAge            = 18
	defaultAgeOfConsent = 16 // Art. 8(1) GDPR
)

func (a *asked) isGiven() bool { return a.c.State == StateGiven }

func (a *asked) isExplicit() bool { return a.isGiven() && a.c.Explicit }

func (a *asked) isProven() bool { return !a.p.ProofRequired || a.c.Proven }

// isConfirmed reports whether the double opt-in, if there has to be one, was confirmed in time.
func (a *asked) isConfirmed() bool {
	if !a.p.DoubleOptIn {
		return true
	}
	took := int64(a.c.ConfirmedAt - a.c.Since)
	return a.c.ConfirmedAt != 0 && took >= 0 && (a.p.ConfirmWithin == 0 || took <= a.p.ConfirmWithin)
}

// isExpired reports whether the earlier of the policy's term and the consent's own has come. The instant itself is expired.
func (a *asked) isExpired() bool {
	at := a.expiry()
	return at != 0 && !a.before(at)
}

func (a *asked) expiry() Time {
	at := a.c.ExpiresAt
	if a.p.ExpiresAfter > 0 {
		if t := a.c.Since + Time(a.p.ExpiresAfter); at == 0 || t < at {
			at = t
		}
	}
	return at
}

// isDormant reports whether more than dormant_after has passed since the consent was given or last used.
func (a *asked) isDormant() bool {
	return a.p.DormantAfter > 0 && !a.before(max(a.c.Since, a.c.LastUsedAt)+Time(a.p.DormantAfter)+1)
}

// meetsArticle9 reports whether special categories of data may be processed on the basis: consent if it is explicit, any other if the
// policy names its ground in Art. 9(2) GDPR.
func (a *asked) meetsArticle9(b Basis) bool {
	if b == BasisConsent {
		return a.isExplicit()
	}
	return a.p.Article9Ground[b] != ""
}

// mayDecideAlone reports whether a significant automated decision may rest on the basis. Art. 22(2) GDPR.
func (a *asked) mayDecideAlone(b Basis) bool {
	return b == BasisConsent && a.isExplicit() || b == BasisContract || b == BasisLegalObligation
}

// mayCall reports whether direct marketing by phone may rest on the basis. Sec. 7(2) no. 1 UWG.
func (a *asked) mayCall(b Basis) bool {
	return b == BasisConsent || b == BasisPresumedConsent && a.isBusiness()
}

// mayPresume reports whether a business's consent to calls is presumed, on the grounds that the policy names.
func (a *asked) mayPresume() bool {
	return a.p.Kind == KindPhone && a.p.PresumedGrounds != "" && a.isBusiness()
}

func (a *asked) isForMarketing() bool { return a.p.DirectMarketing || a.p.ProfilingForMarketing }

func (a *asked) isElectronicMail() bool {
	switch a.p.Kind {
	case KindEmail, KindSMS, KindMessenger, KindFax, KindAutocall:
		return true
	case KindPush:
		return !a.p.PushIsNoMail
	default:
		return false
	}
}

// isBusiness reports whether the subject is recorded and asked for as a business.
func (a *asked) isBusiness() bool { return a.q.SubjectType == Business && a.r.Business() }

// isMinor reports whether the subject is under 18. Nobody is without a birth date, except where only an exemption lets the permission
// outlive an erasure, which may have forgotten the date.
func (a *asked) isMinor() bool {
	born := a.r.BirthDate()
	if born == (Date{}) {
		return a.outlivesErasure() && a.isErased()
	}
	return a.before(born.turns(adultAge))
}

// isUnderAge reports whether the subject was under the age of consent when it was given, and no guardian authorised it.
func (a *asked) isUnderAge() bool {
	if !a.isGiven() {
		return false
	}
	born := a.r.BirthDate()
	return born != (Date{}) && a.c.Since < born.turns(a.ageOfConsent()) && !a.r.GuardianAuthorised()
}

func (a *asked) ageOfConsent() int {
	if age, ok := a.p.AgeByCountry[a.r.Country()]; ok {
		return int(age)
	}
	if a.p.AgeOfConsent != 0 {
		return int(a.p.AgeOfConsent)
	}
	return defaultAgeOfConsent
}

// turns returns when somebody born on that day completes so many years: at midnight UTC, which Europe reaches a little earlier. Who is
// born on 29 February does on 1 March in other years (Sec. 187(2), 188(2) BGB).
func (d Date) turns(age int) Time {
	return Time(time.Date(int(d.Year)+age, time.Month(d.Month), int(d.Day), 0, 0, 0, 0, time.UTC).UnixMilli())
}

// meetsCustomerConditions reports whether all of Sec. 7(3) UWG holds but for objections, which rows 6 and 7 look at.
func (a *asked) meetsCustomerConditions() bool {
	return a.p.Kind == KindEmail && a.r.Relationship() == RelationshipCustomer && a.r.AddressFromSale() && a.q.SimilarGoods &&
		a.r.OptOutNoticeGiven()
}

func (a *asked) isContractual() bool { return a.r.ContractActive() && a.p.NecessaryForContract }

// isRelated reports whether the relationship is one that the policy's legitimate interest allows. Where nothing is recorded there is
// none, unless an erasure may have forgotten it.
func (a *asked) isRelated() bool {
	if a.p.Relationships == 0 {
		return true
	}
	rel := a.r.Relationship()
	if rel == RelationshipUnknown && a.r.ErasedAt() == 0 {
		rel = RelationshipNone
	}
	return rel != RelationshipUnknown && a.p.Relationships&(1<<rel) != 0
}
