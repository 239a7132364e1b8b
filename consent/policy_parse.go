package consent

import (
	"maps"

	"go.yaml.in/yaml/v3"
)

const (
	policyFormat   = "1"
	maxPermissions = 4096
	maxNotice      = 1<<32 - 1

	// Art. 8(1) GDPR: 16, and member states may go down to 13.
	lowestAgeOfConsent = 13
)

// ParsePolicy returns the policy of a YAML document, as docs/policy.md describes it, or a *PolicyError with every fault, its line, and
// what to do. It refuses what isn't known, what stands twice, and what contradicts itself so that no record could ever mend it. The
// policy has no version and no numbers of names yet: Bind gives them.
func ParsePolicy(document []byte) (*Policy, error) {
	p := policyParser{
		policy:   &Policy{},
		channels: standardChannels(),
		defaults: Permission{ProofRequired: true, AgeOfConsent: defaultAgeOfConsent},
	}
	if root, ok := readYAML(document, &p.faults); ok {
		p.document(root)
	}
	if err := p.err(lineOf(document, len(document))); err != nil {
		return nil, err
	}
	p.policy.index()
	return p.policy, nil
}

// policyParser reads a document into a policy.
type policyParser struct {
	faults
	policy   *Policy
	channels map[string]channel
	defaults Permission // what every permission has that says nothing else
}

// channel is what a policy knows of a channel's name.
type channel struct {
	kind   Kind
	noMail bool
	broken bool // its declaration couldn't be read
}

// standardChannels are the channels that need no declaration: those named like their kind.
func standardChannels() map[string]channel {
	channels := map[string]channel{}
	for kind := KindEmail; int(kind) < len(kindNames); kind++ {
		channels[kind.String()] = channel{kind: kind}
	}
	return channels
}

// document reads the whole. Purposes come last, whatever the order of the keys, because they rest on the others.
func (p *policyParser) document(root node) {
	parts := map[string]node{}
	keep := func(key, value node) bool {
		parts[key.Value] = value
		return true
	}
	p.object(root, keys{
		"format": p.format, "keep_case": p.keepCase, "age_of_consent": keep, "channels": keep, "notice": keep, "purposes": keep,
	})
	if n, found := parts["age_of_consent"]; found {
		p.ages(n)
	}
	if n, found := parts["channels"]; found {
		p.mapping(n, p.channel)
	}
	if n, found := parts["notice"]; found {
		p.notice(n, &p.defaults)
	}
	if n, found := parts["purposes"]; found {
		p.purposes(n)
	} else if root.Kind == yaml.MappingNode {
		p.add(root.place(), "there are no purposes, so that nothing could be asked: declare at least one under purposes")
	}
}

func (p *policyParser) format(_, value node) bool {
	if value.Kind == yaml.ScalarNode && value.Value == policyFormat {
		return true
	}
	p.add(value.place(), "this is %s, but only format %s is known: write that, or take a newer consentd", value.what(), policyFormat)
	return false
}

func (p *policyParser) keepCase(_, value node) (ok bool) {
	p.policy.KeepCase, ok = p.boolean(value)
	return ok
}

// ages reads the ages from which a consent needs no guardian.
func (p *policyParser) ages(n node) {
	age := func(value node) (uint8, bool) {
		years, ok := p.whole(value, lowestAgeOfConsent, adultAge)
		return uint8(years), ok
	}
	p.object(n, keys{
		"default": func(_, value node) (ok bool) {
			p.defaults.AgeOfConsent, ok = age(value)
			return ok
		},
		"by_country": func(_, value node) bool {
			p.defaults.AgeByCountry = map[[2]byte]uint8{}
			return p.mapping(value, func(key, value node) bool {
				years, ok := age(value)
				if !isCountry(key.Value) {
					p.add(key.place(), "%s is no ISO 3166-1 code of a country: write two capital letters, as AT", quoted(key.Value))
					return false
				}
				p.defaults.AgeByCountry[[2]byte{key.Value[0], key.Value[1]}] = years
				return ok
			})
		},
	})
}

// channel reads what is said of a channel: its kind, or a mapping with its kind and whether it is electronic mail.
func (p *policyParser) channel(key, value node) bool {
	standard, isStandard := p.channels[key.Value]
	var c channel
	ok := p.validName(key)
	if value.Kind == yaml.MappingNode {
		ok = p.channelDetails(key, value, &c) && ok
	} else {
		ok = p.kind(value, &c) && ok
	}
	if ok && isStandard && c.kind != standard.kind {
		p.add(value.place(), "the channel %s is of its own kind: name another channel, or leave this out", key.Value)
		ok = false
	}
	c.broken = !ok
	p.channels[key.Value] = c
	return ok
}

func (p *policyParser) channelDetails(key, value node, c *channel) bool {
	electronic := node{}
	ok := p.object(value, keys{
		"kind": func(_, value node) bool { return p.kind(value, c) },
		"electronic_mail": func(key, value node) bool {
			is, ok := p.boolean(value)
			electronic, c.noMail = key, !is
			return ok
		},
	})
	switch {
	case !ok:
		return false
	case c.kind == KindNone:
		p.add(key.place(), "this channel has no kind: give one, as kind: push")
		return false
	case electronic.Node != nil && c.kind != KindPush:
		p.add(electronic.place(), "only of push messages is it open whether they are electronic mail, and this is %s: leave it out", c.kind)
		return false
	}
	return true
}

func (p *policyParser) kind(n node, c *channel) bool {
	text, ok := p.text(n)
	if !ok {
		return false
	}
	if c.kind, ok = ParseKind(text); !ok {
		p.add(n.place(), "%s is no kind of channel: use one of %s", quoted(text), join(kindNames[KindEmail:]))
	}
	return ok
}

func (p *policyParser) validName(key node) bool {
	if err := ValidName(key.Value); err != nil {
		p.add(key.place(), "%v", err)
		return false
	}
	return true
}

func (p *policyParser) purposes(n node) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		p.add(n.place(), "there are no purposes, so that nothing could be asked: declare at least one")
		return
	}
	p.mapping(n, p.purpose)
	if len(p.policy.Permissions) > maxPermissions {
		p.add(n.place(), "there are %d permissions, which is more than %d: split them over several tenants",
			len(p.policy.Permissions), maxPermissions)
	}
}

// purpose reads a purpose and its permissions: one for each channel, or itself if it has none.
func (p *policyParser) purpose(key, value node) bool {
	d := &draft{Permission: p.defaults, place: key.place(), set: map[string]place{}}
	d.Purpose, d.Name = key.Value, key.Value
	d.broken = !p.validName(key)
	channels := node{}
	if !value.isNull() {
		known := p.settings(d)
		known["channels"] = func(_, value node) bool {
			channels = value
			return true
		}
		d.broken = !p.object(value, known) || d.broken
	}
	if channels.Node == nil {
		p.finish([]*draft{d})
		return !d.broken
	}
	if channels.Kind == yaml.MappingNode && len(channels.Content) == 0 {
		p.add(channels.place(), "there are no channels here: list at least one, or leave channels out")
	}
	var drafts []*draft
	ok := p.mapping(channels, func(key, value node) bool {
		drafts = append(drafts, p.permission(d, key, value))
		return true
	})
	p.finish(drafts)
	return ok && !d.broken
}

// permission reads what is said of a purpose's channel. It starts from what the purpose says.
func (p *policyParser) permission(purpose *draft, key, value node) *draft {
	d := *purpose
	d.place, d.set = key.place(), maps.Clone(purpose.set)
	d.Channel, d.Name = key.Value, purpose.Purpose+"/"+key.Value
	c, known := p.channels[key.Value]
	if !known {
		if p.validName(key) {
			p.add(key.place(), "the channel %s isn't known: use one of %s, or declare it with its kind under channels", quoted(key.Value),
				join(kindNames[KindEmail:]))
		}
		c.broken = true
	}
	d.Kind, d.PushIsNoMail = c.kind, c.noMail
	d.broken = d.broken || c.broken
	if !value.isNull() {
		d.broken = !p.object(value, p.settings(&d)) || d.broken
	}
	return &d
}

// finish checks permissions of one purpose, and adds them to the policy. Of one that couldn't be read nothing more can be said.
func (p *policyParser) finish(drafts []*draft) {
	idle := idleKeys{}
	for _, d := range drafts {
		p.policy.Permissions = append(p.policy.Permissions, d.Permission)
		if d.broken {
			idle.trust(d)
			continue
		}
		p.checkBases(d)
		p.checkPermission(d)
		idle.note(d)
	}
	idle.report(&p.faults)
}
