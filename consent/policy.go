package consent

import (
	"fmt"
	"slices"
)

// Policy is a tenant's compiled document. It is immutable.
type Policy struct {
	Version     int64 // counted from 1 by the store
	KeepCase    bool  // ids that are e-mail addresses are used as they are, neither trimmed nor lower-cased
	Permissions []Permission
	byName      map[string]int
}

// Permission is what a policy declares and a check asks for, compiled: everything Decide needs beside the record.
type Permission struct {
	Name    string // "newsletter/email", or "crm_storage"
	Purpose string
	Channel string // empty for a purpose without channels
	Kind    Kind   // of the channel

	// The numbers of the three names in the tenant's records. Zero until Bind.
	ID, PurposeID, ChannelID NameID

	Bases []Basis // in the policy's order; consent, if listed, first

	DirectMarketing       bool
	ProfilingForMarketing bool
	ProfiledAdsOnline     bool
	SignificantDecision   bool
	TerminalEquipment     bool
	StrictlyNecessary     bool
	NecessaryForContract  bool
	SpecialCategory       bool
	Article9Ground        [9]string // by Basis: the Art. 9(2) ground that the policy names for it, or empty

	ErasureExemption     string // why Art. 17 doesn't reach it: the ground; empty for not exempt
	RestrictionExemption string // why Art. 18 doesn't reach it

	DoubleOptIn      bool
	ConfirmWithin    int64 // milliseconds; 0 for no limit
	ProofRequired    bool
	ExpiresAfter     int64 // milliseconds; 0 for never
	DormantAfter     int64 // milliseconds; 0 for never
	NoticeCurrent    uint32
	NoticeMin        uint32 // the oldest that still informs
	NoticeAtCollect  bool   // the notice was given at collection, the policy asserts
	Assessment       string // reference to the legitimate-interest assessment
	Relationships    uint8  // set of 1 << Relationship that legitimate interest allows; 0 for any
	PresumedGrounds  string // Sec. 7(2) no. 1 UWG
	Statute          string // of the legal obligation
	OverridingGround string // grounds that may override an Art. 21(1) objection once recorded for the subject
	PushIsNoMail     bool   // push messages aren't electronic mail, the policy says
	AgeOfConsent     uint8
	AgeByCountry     map[[2]byte]uint8
}

// Permission returns the permission of a name, or nil if the policy doesn't declare it. It looks in the index that parsing and binding
// make.
func (p *Policy) Permission(name string) *Permission {
	if i, ok := p.byName[name]; ok {
		return &p.Permissions[i]
	}
	return nil
}

// HasBasis reports whether the permission may rest on a basis.
func (p *Permission) HasBasis(b Basis) bool { return slices.Contains(p.Bases, b) }

// Bind returns a copy of the policy with the version and the numbers of its names, and names that have them all. It returns
// ErrTooManyNames if there aren't enough numbers left.
func (p *Policy) Bind(version int64, n *Names) (*Policy, *Names, error) {
	scope := Scope{Permissions: make([]string, len(p.Permissions))}
	for i := range p.Permissions {
		scope.Permissions[i] = p.Permissions[i].Name
	}
	names, err := n.AddScope(scope)
	if err != nil {
		return nil, n, err
	}
	bound := p.bind(version, func(permission string) (b Binding) {
		b.ID = names.ID(PermissionName, permission)
		b.PurposeID, b.ChannelID = names.Parts(b.ID)
		return b
	})
	return bound, names, nil
}

// Binding is the numbers that stand for the names of a permission in a tenant's records.
type Binding struct{ ID, PurposeID, ChannelID NameID }

// BindTo returns a copy of the policy with the version and the numbers that another process has given to its names. It returns an error if
// a permission has none.
func (p *Policy) BindTo(version int64, bindings map[string]Binding) (*Policy, error) {
	for i := range p.Permissions {
		name := p.Permissions[i].Name
		if b := bindings[name]; b.ID == 0 || b.PurposeID == 0 || (b.ChannelID == 0) != (p.Permissions[i].Channel == "") {
			return nil, fmt.Errorf("the permission %q has no numbers for its names", name)
		}
	}
	return p.bind(version, func(permission string) Binding { return bindings[permission] }), nil
}

func (p *Policy) bind(version int64, of func(permission string) Binding) *Policy {
	bound := *p
	bound.Version = version
	bound.Permissions = slices.Clone(p.Permissions)
	for i := range bound.Permissions {
		permission := &bound.Permissions[i]
		b := of(permission.Name)
		permission.ID, permission.PurposeID, permission.ChannelID = b.ID, b.PurposeID, b.ChannelID
	}
	bound.index()
	return &bound
}

// index makes permissions findable by name.
func (p *Policy) index() {
	p.byName = make(map[string]int, len(p.Permissions))
	for i := range p.Permissions {
		p.byName[p.Permissions[i].Name] = i
	}
}
