package consent

// Reason names the row of the decision table that decided. The numbers are those of the contract; docs and the contract explain each.
type Reason uint8

// The reasons, each with its source.
const (
	ReasonConsent                    Reason = 1  // Allowed: the consent meets every condition. Art. 6(1)(a) GDPR.
	ReasonExistingCustomer           Reason = 2  // Allowed: an existing customer, similar goods. Sec. 7(3) UWG, CJEU C-654/23.
	ReasonLegitimateInterest         Reason = 3  // Allowed: a documented legitimate interest. Art. 6(1)(f) GDPR.
	ReasonPresumedConsent            Reason = 4  // Allowed: presumed consent of a business, by phone. Sec. 7(2) no. 1 UWG.
	ReasonContract                   Reason = 5  // Allowed: necessary for a contract that is active. Art. 6(1)(b) GDPR.
	ReasonLegalObligation            Reason = 6  // Allowed: a statute that the policy names demands it. Art. 6(1)(c) GDPR.
	ReasonVitalInterest              Reason = 7  // Allowed: a vital interest. Art. 6(1)(d) GDPR.
	ReasonPublicTask                 Reason = 8  // Allowed: a public task. Art. 6(1)(e) GDPR.
	ReasonMinorProtected             Reason = 20 // Denied: under 18, and profiled ads or direct marketing without consent. Art. 28(2) DSA; Art. 6(1)(f) and recital 38 GDPR.
	ReasonSpecialCategory            Reason = 21 // Denied: special categories of data. Art. 9 GDPR, Art. 26(3) DSA.
	ReasonErased                     Reason = 22 // Denied: the subject was erased, and nothing newer is recorded. Art. 17 GDPR.
	ReasonSuppressed                 Reason = 23 // Denied: the subject is on the suppression list. Art. 21(3), 17(3)(b) GDPR.
	ReasonRestricted                 Reason = 24 // Denied: processing is restricted. Art. 18(2) GDPR.
	ReasonObjectedMarketing          Reason = 25 // Denied: the subject objected to marketing. Art. 21(2), (3) GDPR, Sec. 7(3) no. 3 UWG.
	ReasonUndeliverable              Reason = 26 // Denied: messages to this address bounce. A new delivery lifts it.
	ReasonWithdrawn                  Reason = 27 // Denied: consent was withdrawn. Art. 7(3) GDPR.
	ReasonRefused                    Reason = 28 // Denied: consent was asked for and refused. Art. 4(11) GDPR.
	ReasonObjected                   Reason = 29 // Denied: the subject objected to this processing. Art. 21(1) GDPR.
	ReasonAutomatedDecision          Reason = 30 // Denied: a significant automated decision on another basis than explicit consent, contract or legal obligation. Art. 22 GDPR.
	ReasonTerminalConsentRequired    Reason = 31 // Denied: access to terminal equipment needs consent. Sec. 25 TDDDG, Art. 5(3) ePrivacy.
	ReasonMinorNoGuardian            Reason = 32 // Denied: below the age of consent, no guardian authorised it. Art. 8 GDPR.
	ReasonChannelConsentRequired     Reason = 33 // Denied: marketing over this channel needs consent. Sec. 7(2) UWG, Art. 13 ePrivacy.
	ReasonNoConsent                  Reason = 34 // Denied: consent was never asked for. Art. 6(1) GDPR.
	ReasonPending                    Reason = 35 // Denied: consent was asked for and not answered yet. Art. 4(11) GDPR.
	ReasonInvalidated                Reason = 36 // Denied: the consent is void (pre-ticked, implied, bought, failed an audit). Art. 4(11) GDPR, CJEU C-673/17 (Planet49).
	ReasonUnproven                   Reason = 37 // Denied: nothing proves the consent. Art. 7(1) GDPR.
	ReasonUnconfirmed                Reason = 38 // Denied: the double opt-in wasn't confirmed. BGH I ZR 164/09.
	ReasonNotYetValid                Reason = 39 // Denied: the consent becomes valid at a later time.
	ReasonExpired                    Reason = 40 // Denied: the consent expired, by the policy or by its own term.
	ReasonDormant                    Reason = 41 // Denied: the consent wasn't used for too long. AG Muenchen 161 C 12736/22.
	ReasonNoticeOutdated             Reason = 42 // Denied: given under a notice that no longer informs. Art. 4(11) GDPR.
	ReasonExistingCustomerConditions Reason = 43 // Denied: a condition of the existing-customer exception is missing. Sec. 7(3) UWG.
	ReasonInterestUndocumented       Reason = 44 // Denied: no assessment or notice documents the legitimate interest. Art. 5(2), 13, 21(4) GDPR.
	ReasonNoRelationship             Reason = 45 // Denied: the relationship that the policy asks for isn't recorded. Recital 47 GDPR.
	ReasonNoContract                 Reason = 46 // Denied: no active contract needs this. Art. 6(1)(b) GDPR.
	ReasonNoBasis                    Reason = 47 // Denied: no rule allows it. Art. 5(1)(a), 6(1) GDPR.
)

var reasonNames = map[Reason]string{
	ReasonConsent:                    "CONSENT",
	ReasonExistingCustomer:           "EXISTING_CUSTOMER",
	ReasonLegitimateInterest:         "LEGITIMATE_INTEREST",
	ReasonPresumedConsent:            "PRESUMED_CONSENT",
	ReasonContract:                   "CONTRACT",
	ReasonLegalObligation:            "LEGAL_OBLIGATION",
	ReasonVitalInterest:              "VITAL_INTEREST",
	ReasonPublicTask:                 "PUBLIC_TASK",
	ReasonMinorProtected:             "MINOR_PROTECTED",
	ReasonSpecialCategory:            "SPECIAL_CATEGORY",
	ReasonErased:                     "ERASED",
	ReasonSuppressed:                 "SUPPRESSED",
	ReasonRestricted:                 "RESTRICTED",
	ReasonObjectedMarketing:          "OBJECTED_MARKETING",
	ReasonUndeliverable:              "UNDELIVERABLE",
	ReasonWithdrawn:                  "WITHDRAWN",
	ReasonRefused:                    "REFUSED",
	ReasonObjected:                   "OBJECTED",
	ReasonAutomatedDecision:          "AUTOMATED_DECISION",
	ReasonTerminalConsentRequired:    "TERMINAL_CONSENT_REQUIRED",
	ReasonMinorNoGuardian:            "MINOR_NO_GUARDIAN",
	ReasonChannelConsentRequired:     "CHANNEL_CONSENT_REQUIRED",
	ReasonNoConsent:                  "NO_CONSENT",
	ReasonPending:                    "PENDING",
	ReasonInvalidated:                "INVALIDATED",
	ReasonUnproven:                   "UNPROVEN",
	ReasonUnconfirmed:                "UNCONFIRMED",
	ReasonNotYetValid:                "NOT_YET_VALID",
	ReasonExpired:                    "EXPIRED",
	ReasonDormant:                    "DORMANT",
	ReasonNoticeOutdated:             "NOTICE_OUTDATED",
	ReasonExistingCustomerConditions: "EXISTING_CUSTOMER_CONDITIONS",
	ReasonInterestUndocumented:       "INTEREST_UNDOCUMENTED",
	ReasonNoRelationship:             "NO_RELATIONSHIP",
	ReasonNoContract:                 "NO_CONTRACT",
	ReasonNoBasis:                    "NO_BASIS",
}

// String returns the reason's name in the contract, without its prefix.
func (r Reason) String() string {
	if name, ok := reasonNames[r]; ok {
		return name
	}
	return "UNSPECIFIED"
}

// Allows reports whether the reason is one of a decision that allows.
func (r Reason) Allows() bool { return r >= ReasonConsent && r <= ReasonPublicTask }
