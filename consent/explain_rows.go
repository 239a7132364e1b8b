package consent

// rowText is what is to be said of a row.
type rowText struct {
	number    string
	condition string
	source    string
	fails     string // the denial in words
	remedy    Remedy
	advice    string
}

func (w row) number() string { return rowTexts[w].number }

const (
	dontContact = "Don't contact the subject for this."
	askLater    = "Ask for consent where the subject comes by themselves, or over a channel that is allowed; never by a message over this one."
	waitTill18  = "Wait until the subject is 18, or do without profiling and marketing here."
)

var rowTexts = [rowCount]rowText{
	rowMinorAds: {
		"2", "profiled ads on an online platform, and under 18", "Art. 28(2) DSA",
		"profiled ads aren't shown to minors", RemedyWait, waitTill18,
	},
	rowSpecialAds: {
		"2", "profiled ads on an online platform, from special categories of data", "Art. 26(3) DSA",
		"profiled ads never rest on special categories of data", RemedyDontContact, "Show ads that don't rest on special categories of data.",
	},
	rowErased: {
		"3", "erased, nothing newer recorded that a basis rests on, purpose not exempt", "Art. 17 GDPR",
		"the subject was erased, and nothing newer is recorded", RemedyDontContact, dontContact,
	},
	rowSuppressed: {
		"4", "suppressed, direct marketing, and no later yes", "Art. 21(3), 17(3)(b) GDPR",
		"the subject is on the suppression list", RemedyDontContact, dontContact,
	},
	rowRestricted: {
		"5", "restricted, purpose not exempt, and no later consent that overrides it", "Art. 18(2) GDPR",
		"processing is restricted", RemedyLift, "Lift the restriction once what it waits for is settled, and tell the subject before.",
	},
	rowObjectedMarketing: {
		"6", "objection to marketing, direct marketing or profiling for it, and no later yes",
		"Art. 21(2), (3) GDPR, Sec. 7(3) no. 3 UWG",
		"the subject objected to marketing", RemedyDontContact, dontContact,
	},
	rowUndeliverable: {
		"undeliverable", "the channel's address bounces", "no opt-out: a new delivery lifts it",
		"messages to the address bounce", RemedyLift,
		"Record a new delivery, or a corrected address, once there is one; send no marketing to try.",
	},
	rowWithdrawn: {
		"7", "withdrawn, and nothing newer overrides it", "Art. 7(3) GDPR",
		"consent was withdrawn", RemedyDontContact, dontContact,
	},
	rowRefused: {
		"7", "refused, and nothing newer overrides it", "Art. 4(11) GDPR",
		"consent was refused", RemedyDontContact, dontContact,
	},
	rowObjected: {
		"7", "objected to this processing, and nothing newer overrides it", "Art. 21(1) GDPR",
		"the subject objected to this processing", RemedyDontContact, dontContact,
	},
	rowSpecialCategory: {
		"8", "special category, neither an explicit consent nor a ground of Art. 9(2) for this basis", "Art. 9 GDPR",
		"special categories of data need an explicit consent or a ground of their own", RemedyMendPolicy,
		"Name the ground of Art. 9(2) for this basis in the policy, if there is one.",
	},
	rowAutomated: {
		"9", "significant automated decision, neither explicit consent nor contract nor legal obligation", "Art. 22 GDPR",
		"a significant automated decision can't rest on this", RemedyMendPolicy,
		"Rest the decision on explicit consent, contract or legal obligation, or let a human take it.",
	},
	rowTerminal: {
		"10", "terminal equipment, not strictly necessary, basis not consent", "Sec. 25 TDDDG, Art. 5(3) ePrivacy",
		"access to terminal equipment needs consent", RemedyMendPolicy,
		"Take this basis off the permission, or mark it as strictly necessary if it is.",
	},
	rowUnderAge: {
		"11", "under the age of consent when it was given, no guardian authorised it", "Art. 8 GDPR",
		"below the age of consent, and no guardian authorised it", RemedyRecordFacts,
		"Record that the holder of parental responsibility authorised it, if so, or the right birth date.",
	},
	rowMinor: {
		"12", "under 18 now, direct marketing or profiling for it", "Art. 6(1)(f), recital 38 GDPR",
		"minors are protected from marketing that they didn't consent to", RemedyWait, waitTill18,
	},
	rowChannel: {
		"13", "email, sms, messenger, fax, autocall or push; direct marketing; neither consent nor existing_customer",
		"Sec. 7(2) no. 2 UWG, Art. 13 ePrivacy",
		"marketing over this channel needs consent", RemedyUseAnotherChannel, "Use a channel that this basis can carry, such as post.",
	},
	rowPhone: {
		"14", "phone, direct marketing; neither consent nor presumed consent of a business, recorded and asked", "Sec. 7(2) no. 1 UWG",
		"marketing calls need consent", RemedyUseAnotherChannel, "Use a channel that this basis can carry, such as post.",
	},
	rowUnknown: {
		"15", "never asked", "Art. 6(1) GDPR",
		"consent was never asked for", RemedyUseAnotherChannel, askLater,
	},
	rowRequested: {
		"16", "requested, unanswered", "Art. 4(11) GDPR",
		"consent was asked for and not answered", RemedyUseAnotherChannel, askLater,
	},
	rowStateRefused: {
		"17", "refused", "Art. 4(11) GDPR",
		"consent was refused", RemedyDontContact, dontContact,
	},
	rowStateWithdrawn: {
		"18", "withdrawn", "Art. 7(3) GDPR",
		"consent was withdrawn", RemedyDontContact, dontContact,
	},
	rowInvalidated: {
		"19", "invalidated: failed an audit, pre-ticked, implied, bought list", "Art. 4(11) GDPR, CJEU C-673/17 (Planet49)",
		"the consent is void", RemedyUseAnotherChannel, askLater,
	},
	rowUnproven: {
		"20", "given, proof required and missing", "Art. 7(1) GDPR",
		"nothing proves the consent", RemedyAttachProof,
		"Record evidence with method, source, and a reference or the hash of the notice, if it exists.",
	},
	rowUnconfirmed: {
		"21", "given, double opt-in required and not confirmed in time", "BGH I ZR 164/09",
		"the double opt-in wasn't confirmed", RemedyRecordConfirmation,
		"Record the confirmation, if it came in time; don't send another request for it.",
	},
	rowNotYetValid: {
		"22", "given, valid from a later time", "the consent's own terms",
		"the consent isn't valid yet", RemedyWait, "Wait until it is valid.",
	},
	rowExpired: {
		"23", "given, and the earlier expiry of policy and consent has come", "the policy, the consent's own terms",
		"the consent expired", RemedyUseAnotherChannel, askLater,
	},
	rowDormant: {
		"24", "given, and not used for longer than dormant_after", "AG München 161 C 12736/22",
		"the consent wasn't used for too long", RemedyUseAnotherChannel, askLater,
	},
	rowOutdated: {
		"25", "given under a notice older than min_material", "Art. 4(11) GDPR",
		"given under a notice that no longer informs", RemedyUseAnotherChannel, askLater,
	},
	rowConsent: {number: "26", condition: "given, none of the above", source: "Art. 6(1)(a) GDPR"},
	rowCustomer: {
		number: "27", condition: "email, customer, address from a sale, similar goods, opt-out notice at collection",
		source: "Sec. 7(3) UWG, CJEU C-654/23",
	},
	rowNoCustomer: {
		"28", "one of these missing, or another kind", "Sec. 7(3) UWG",
		"a condition of the existing-customer exception is missing", RemedyRecordSale,
		"Record customer, address from a sale and opt-out notice at collection, if all are true.",
	},
	rowUndocumented: {
		"29", "no assessment named in the policy, or notice not given", "Art. 5(2), 13, 21(4) GDPR",
		"the legitimate interest isn't documented", RemedyMendPolicy,
		"Name the assessment in the policy, and that the notice is given at collection, if so.",
	},
	rowNoRelationship: {
		"30", "relationship outside what the policy allows", "recital 47 GDPR",
		"the relationship that the policy asks for isn't recorded", RemedyRecordFacts, "Record the relationship, if it exists.",
	},
	rowInterest: {number: "31", condition: "a documented interest, none of the above", source: "Art. 6(1)(f) GDPR"},
	rowContract: {number: "32", condition: "contract active and purpose necessary for it", source: "Art. 6(1)(b) GDPR"},
	rowNoContract: {
		"33", "no active contract, or purpose not necessary for it", "Art. 6(1)(b) GDPR",
		"no active contract needs this", RemedyRecordFacts, "Record the contract, if one is active.",
	},
	rowStatute:       {number: "34", condition: "the policy names the statute", source: "Art. 6(1)(c) GDPR"},
	rowVitalInterest: {number: "35", condition: "vital interest, enabled in the policy", source: "Art. 6(1)(d) GDPR"},
	rowPublicTask:    {number: "35", condition: "public task, enabled in the policy", source: "Art. 6(1)(e) GDPR"},
	rowPresumed: {
		number: "35", condition: "presumed consent, enabled in the policy: phone, business recorded and asked, grounds named",
		source: "Sec. 7(2) no. 1 UWG",
	},
	rowNothing: {
		"36", "nothing matched", "Art. 5(1)(a), 6(1) GDPR: prohibition with reservation of permission",
		"no rule allows it", RemedyMendPolicy, "Give the permission a basis that can carry it, if there is one.",
	},
}
