package mailinglist

import (
	"fmt"
	"strings"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// contactKind is what the contacts of an export are to Mailchimp.
type contactKind uint8

const (
	subscribed contactKind = iota
	unsubscribed
	cleaned
	mixed         // of several kinds: each row tells its own
	nonsubscribed // customers and the like, who agreed to nothing
)

// mailchimpLayout reads the columns that Mailchimp gives every export. Each is absent where an export lacks it, and then empty.
type mailchimpLayout struct {
	options *Options
	file    string
	kind    contactKind

	email, optinTime, confirmTime, confirmIP, lastChanged   column
	unsubTime, unsubReason, unsubReasonOther, unsubCampaign column
	cleanTime                                               column
}

var errNoStatus = rowError(reasonNoTime, "neither UNSUB_TIME nor CLEAN_TIME says what became of the contact")

// newMailchimpLayout finds the columns by name, and the kind of export by its UNSUB_TIME and CLEAN_TIME columns. Contacts who never
// subscribed come in a file of the same columns as subscribers; only its name tells.
func newMailchimpLayout(o *Options, f *file) (*mailchimpLayout, error) {
	m := &mailchimpLayout{options: o, file: f.name}
	var err error
	if m.email, err = subjectColumn(o, f.header); err != nil {
		return nil, err
	}
	for _, c := range []struct {
		name string
		at   *column
	}{
		{"OPTIN_TIME", &m.optinTime}, {"CONFIRM_TIME", &m.confirmTime}, {"CONFIRM_IP", &m.confirmIP},
		{"LAST_CHANGED", &m.lastChanged}, {"UNSUB_TIME", &m.unsubTime}, {"UNSUB_REASON", &m.unsubReason},
		{"UNSUB_REASON_OTHER", &m.unsubReasonOther}, {"UNSUB_CAMPAIGN_TITLE", &m.unsubCampaign}, {"CLEAN_TIME", &m.cleanTime},
	} {
		if *c.at, err = findColumn(f.header, c.name); err != nil {
			return nil, err
		}
	}
	switch {
	case m.unsubTime != absent && m.cleanTime != absent:
		m.kind = mixed
	case m.unsubTime != absent:
		m.kind = unsubscribed
	case m.cleanTime != absent:
		m.kind = cleaned
	case strings.HasPrefix(plainName(f.name), "nonsubscribed"):
		m.kind = nonsubscribed
	default:
		err = m.needGrants(f.header)
	}
	return m, err
}

// needGrants refuses an export of subscribers without the columns that their opt-in is judged by.
func (m *mailchimpLayout) needGrants(header []string) error {
	for _, name := range []string{"OPTIN_TIME", "CONFIRM_TIME"} {
		if _, err := needColumn(header, name); err != nil {
			return fmt.Errorf("%w: this is no export of a Mailchimp audience", err)
		}
	}
	return nil
}

func (m *mailchimpLayout) read(row *Row, cells []string) {
	row.Subject = m.email.of(cells)
	if row.Err = checkAddress(row.Subject); row.Err != nil {
		return
	}
	h := &happening{subject: row.Subject, permission: m.options.Permission}
	h.done(row, m.options, m.addEvents(h, cells, row.Line))
}

// addEvents adds what can be read of what the row says.
func (m *mailchimpLayout) addEvents(h *happening, cells []string, line int) error {
	var err error
	kind := m.kind
	if kind == mixed {
		kind, err = m.rowKind(cells)
	}
	switch kind {
	case subscribed:
		return m.grant(h, cells, line)
	case unsubscribed:
		return m.withdrawal(h, cells, line)
	case cleaned:
		return m.bounce(h, cells, line)
	}
	return err
}

// rowKind tells the kind of a contact in an export that has them all: never that of a subscriber, because an unsubscribed contact
// without a time looks the same.
func (m *mailchimpLayout) rowKind(cells []string) (contactKind, error) {
	switch {
	case m.unsubTime.of(cells) != "":
		return unsubscribed, nil
	case m.cleanTime.of(cells) != "":
		return cleaned, nil
	}
	return mixed, errNoStatus
}

// optin is what an export shows of a contact's opt-in.
type optin struct {
	granted   moment // zero if that isn't known
	confirmed moment // zero for a single opt-in
	proven    bool
}

// optin reads the opt-in. Without OPTIN_TIME somebody imported the address, so nothing proves a consent, and CONFIRM_TIME is when they
// did. With it the row proves an opt-in, and a later confirmation whose CONFIRM_IP shows that the subject was there makes it a double one.
// CONFIRM_TIME equal to OPTIN_TIME, or without CONFIRM_IP, leaves it a single one.
func (m *mailchimpLayout) optin(cells []string) (optin, error) {
	given, err := parseMoment(m.optinTime.of(cells))
	if err != nil {
		return optin{}, fmt.Errorf("OPTIN_TIME: %w", err)
	}
	confirmed, err := parseMoment(m.confirmTime.of(cells))
	if err != nil {
		return optin{}, fmt.Errorf("CONFIRM_TIME: %w", err)
	}
	if given.isZero() {
		return optin{granted: confirmed}, nil
	}
	o := optin{granted: given, proven: true}
	if confirmed.start.After(given.start) && m.confirmIP.of(cells) != "" {
		o.confirmed = confirmed
	}
	return o, nil
}

// grant is what a subscriber's row says.
func (m *mailchimpLayout) grant(h *happening, cells []string, line int) error {
	o, err := m.optin(cells)
	if err != nil {
		return err
	}
	if o.granted.isZero() {
		if o.granted, err = m.timeOf(cells, "LAST_CHANGED", m.lastChanged); err != nil {
			return err
		}
	}
	m.addGrant(h, o, line)
	return nil
}

func (m *mailchimpLayout) addGrant(h *happening, o optin, line int) {
	granted := h.add(consentv1.EventKind_EVENT_KIND_GRANTED, o.granted.first())
	granted.Evidence = &consentv1.Evidence{NoticeVersion: m.options.NoticeVersion}
	if o.proven {
		granted.Evidence.Method = consentv1.Method_METHOD_WEB_FORM
		granted.Evidence.Source = string(Mailchimp)
		granted.Evidence.Reference = rowReference(m.file, line)
	}
	if !o.confirmed.isZero() {
		h.add(consentv1.EventKind_EVENT_KIND_CONFIRMED, o.confirmed.first())
	}
}

// rowReference says where a proof is kept: the row of an export. It names nobody, where an IP address or the hash of a guessable row
// would. Of a name too long for the contract, the end is left out.
func rowReference(file string, line int) string {
	const longest = 480
	if len(file) > longest {
		file = strings.ToValidUTF8(file[:longest], "")
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// history adds the grant that an unsubscribed or cleaned contact once gave, if its time can be read and lies before the end: a later
// one would outlive the withdrawal.
func (m *mailchimpLayout) history(h *happening, cells []string, line int, end moment) error {
	o, err := m.optin(cells)
	if err != nil || o.granted.isZero() || !o.granted.start.Before(end.start) {
		return err
	}
	if !o.confirmed.start.Before(end.start) {
		o.confirmed = moment{}
	}
	m.addGrant(h, o, line)
	return nil
}

// withdrawal is what an unsubscribed contact's row says. A complaint about abuse is an objection to marketing as well, whatever it is
// for and over whichever channel: Art. 21(2) GDPR asks for no form.
func (m *mailchimpLayout) withdrawal(h *happening, cells []string, line int) error {
	end, err := m.timeOf(cells, "UNSUB_TIME", m.unsubTime, m.lastChanged)
	if err != nil {
		return err
	}
	unread := m.history(h, cells, line, end)
	h.add(consentv1.EventKind_EVENT_KIND_WITHDRAWN, end.last())
	if m.complained(cells) {
		objected := h.add(consentv1.EventKind_EVENT_KIND_OBJECTED, end.last())
		objected.Scope, objected.Objection = nil, consentv1.ObjectionKind_OBJECTION_KIND_MARKETING
	}
	return unread
}

// complained says whether the contact reported the sender. Mailchimp writes it as a reason ("Abuse complaint", "SPAM", "The emails are
// spam and should be reported"), in older exports as the campaign's title.
func (m *mailchimpLayout) complained(cells []string) bool {
	reason := strings.ToLower(m.unsubReason.of(cells))
	if strings.Contains(reason, "abuse") || strings.Contains(reason, "spam") || strings.Contains(reason, "complain") {
		return true
	}
	for _, c := range []column{m.unsubReasonOther, m.unsubCampaign} {
		if strings.Contains(strings.ToLower(c.of(cells)), "abuse complaint") {
			return true
		}
	}
	return false
}

// bounce is what a cleaned contact's row says: the address can't be reached on the channel. It takes no consent back.
func (m *mailchimpLayout) bounce(h *happening, cells []string, line int) error {
	end, err := m.timeOf(cells, "CLEAN_TIME", m.cleanTime, m.lastChanged)
	if err != nil {
		return err
	}
	unread := m.history(h, cells, line, end)
	_, channel := m.options.scope()
	h.add(consentv1.EventKind_EVENT_KIND_UNDELIVERABLE, end.last()).Scope = &consentv1.Scope{Channels: []string{channel}}
	return unread
}

// timeOf returns the first of the columns' times that can be read, or else the one given for rows without. If there is none, the error
// says what is wrong with the first, whose name is given.
func (m *mailchimpLayout) timeOf(cells []string, name string, columns ...column) (moment, error) {
	var firstErr error
	for _, c := range columns {
		at, err := parseMoment(c.of(cells))
		if err == nil && !at.isZero() {
			return at, nil
		}
		if err != nil && firstErr == nil {
			firstErr = fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case firstErr != nil:
		return moment{}, firstErr
	case m.options.At.IsZero():
		return moment{}, errNoTime
	}
	return instant(m.options.At), nil
}
