package consent

// Kind is what the law knows of a channel.
type Kind uint8

// The kinds of channel. KindNone is that of a purpose without channels.
const (
	KindNone Kind = iota
	KindEmail
	KindSMS
	KindMessenger
	KindFax
	KindAutocall
	KindPhone
	KindPost
	KindPush
	KindWeb
	KindApp
)

var kindNames = [...]string{"none", "email", "sms", "messenger", "fax", "autocall", "phone", "post", "push", "web", "app"}

// String returns the kind as policies spell it. It is also the name of the channel that needs no kind of its own.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// ParseKind returns the kind that a policy spells so.
func ParseKind(name string) (Kind, bool) {
	for i, n := range kindNames {
		if n == name && i > 0 {
			return Kind(i), true
		}
	}
	return KindNone, false
}
