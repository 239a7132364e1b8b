package consent

// Basis is what a permission rests on. The numbers are those of the contract.
type Basis uint8

// The bases.
const (
	BasisNone               Basis = 0
	BasisConsent            Basis = 1 // Art. 6(1)(a) GDPR
	BasisExistingCustomer   Basis = 2 // Sec. 7(3) UWG
	BasisLegitimateInterest Basis = 3 // Art. 6(1)(f) GDPR
	BasisPresumedConsent    Basis = 4 // Sec. 7(2) no. 1 UWG
	BasisContract           Basis = 5 // Art. 6(1)(b) GDPR
	BasisLegalObligation    Basis = 6 // Art. 6(1)(c) GDPR
	BasisVitalInterest      Basis = 7 // Art. 6(1)(d) GDPR
	BasisPublicTask         Basis = 8 // Art. 6(1)(e) GDPR
)

var basisNames = [...]string{
	"none", "consent", "existing_customer", "legitimate_interest", "presumed_consent", "contract", "legal_obligation", "vital_interest",
	"public_task",
}

// String returns the basis as policies spell it.
func (b Basis) String() string {
	if int(b) < len(basisNames) {
		return basisNames[b]
	}
	return "unknown"
}

// ParseBasis returns the basis that a policy spells so.
func ParseBasis(name string) (Basis, bool) {
	for i, n := range basisNames {
		if n == name && i > 0 {
			return Basis(i), true
		}
	}
	return BasisNone, false
}
