package consent

// Question is what a caller adds to subject and permission.
type Question struct {
	SubjectType  SubjectType
	SimilarGoods bool // asserted by the caller: Sec. 7(3) no. 2 UWG
}

// Decision answers one permission for one subject. The zero Decision denies.
type Decision struct {
	Allowed     bool
	Reason      Reason
	Basis       Basis // that allowed, or whose reason is given; none if the denial holds for every basis
	Obligations Obligations
	NextChange  Time // the earliest instant at which time alone could change decision or reason, or zero
}

// SubjectType tells businesses from consumers, as the law on phone marketing does. The zero value is decided as a consumer. The
// numbers are those of the contract.
type SubjectType uint8

// The subject types.
const (
	Consumer SubjectType = 1
	Business SubjectType = 2
)

// Obligations is the set of what an ALLOW asks of the caller in return.
type Obligations uint8

// The obligations. The position of each bit is its number in the contract.
const (
	LogUse     Obligations = 1 << 1 // record this use: Sec. 7a UWG, dormancy
	ShowOptOut Obligations = 1 << 2 // show in every message how to object: Sec. 7(3) no. 4 UWG
)
