package consent

// Details are all that a record holds, spelled out.
type Details struct {
	Permissions                          []PermissionDetails // in the order of their numbers, without those of which nothing is known
	Marks                                []MarkDetails       // by kind, then by number
	Attributes                           Attributes
	ErasedAt, SuppressedAt, RestrictedAt Time
	Newest                               Time
	Index                                uint64
}

// PermissionDetails are what a record says about a permission.
type PermissionDetails struct {
	Permission string
	Consent
}

// MarkDetails are the latest time of a kind of event over a scope.
type MarkDetails struct {
	Kind MarkKind
	Over NameKind // what the name is of; zero for a mark over everything
	Name string
	At   Time
}

// Expand returns the record spelled out, for reading by people. Of several grants of a permission it shows the latest that is proven and
// confirmed, or else proven, or else the latest. Names are those of the tenant.
func (r Record) Expand(n *Names) Details {
	d := Details{
		Attributes:   r.attributes().expand(),
		ErasedAt:     r.ErasedAt(),
		SuppressedAt: r.SuppressedAt(),
		RestrictedAt: r.RestrictedAt(),
		Newest:       r.Newest(),
		Index:        r.Index(),
	}
	for i := 1; i <= n.Len(); i++ {
		id := NameID(i)
		if kind, name := n.Name(id); kind == PermissionName {
			if c := r.strongest(id, n); c != (Consent{}) {
				d.Permissions = append(d.Permissions, PermissionDetails{name, c})
			}
		}
	}
	for _, word := range r.facts() {
		kind, id, at := factOf(word)
		if kind >= factKind(markKinds) {
			break
		}
		over, name := NameKind(0), ""
		if id != 0 {
			over, name = n.Name(id)
		}
		d.Marks = append(d.Marks, MarkDetails{MarkKind(kind), over, name, Time(at)})
	}
	return d
}

// strongest returns what is recorded for a permission when no policy says what it demands.
func (r Record) strongest(id NameID, n *Names) Consent {
	p := Permission{ID: id, ProofRequired: true, DoubleOptIn: true}
	p.PurposeID, p.ChannelID = n.Parts(id)
	return r.Consent(&p)
}
