package cluster

import (
	"crypto/x509"
	"net"
	"time"
)

// reviewEvery is how often the files of the peers' TLS are looked at, and what was agreed on by them. A connection outlives a certificate, or
// the CA that was taken out of its file, by no more than this.
const reviewEvery = 5 * time.Second

// A certificate that is due is told of this long before, or in the last third of its life if that is shorter, as it is where certificates
// live for a day.
const (
	expiryNotice = 14 * 24 * time.Hour
	expiryShare  = 3
	remindEvery  = 24 * time.Hour // of one that is due
	lamentEvery  = time.Hour      // about one that has expired
)

// trust is what a connection was begun on: certificates that were good then, with those between them and the CA.
type trust struct {
	own, other       []*x509.Certificate
	ownUse, otherUse x509.ExtKeyUsage
}

// reviewTrust keeps looking whether certificates have changed or expired, until the wire is closed.
func (w *Wire) reviewTrust() {
	again := time.NewTicker(reviewEvery)
	defer again.Stop()
	for {
		w.review()
		select {
		case <-again.C:
		case <-w.life.Done():
			return
		}
	}
}

// review reads files that have changed, and ends the connections that couldn't begin any more. TLS asks for certificates only when it begins,
// and connections between replicas last for as long as both run. Whoever still trusts each other connects again at once.
func (w *Wire) review() {
	w.keys.reload()
	w.keys.remind()
	current := w.keys.credentials()
	w.closeAll(func(o *opened) bool {
		if o.trust == nil {
			return false
		}
		err := current.uphold(o.trust)
		if err != nil {
			w.log.Info("a connection between replicas ends with the certificates that it began with", "reason", err)
		}
		return err != nil
	})
}

// uphold returns nil if both certificates would be taken now.
func (c *credentials) uphold(t *trust) error {
	if err := c.verify(t.other, t.otherUse); err != nil {
		return err
	}
	return c.verify(t.own, t.ownUse)
}

// entrust notes what a connection was begun on.
func (w *Wire) entrust(raw net.Conn, t *trust) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.open[raw]; o != nil {
		o.trust = t
	}
}

// expires returns when the others stop taking the certificate: with its own end, or with that of one between it and the CA, or of the CA.
func (c *credentials) expires() time.Time {
	var latest time.Time
	for _, way := range c.waysToCA() {
		end := way[0].NotAfter
		for _, certificate := range way {
			if certificate.NotAfter.Before(end) {
				end = certificate.NotAfter
			}
		}
		if end.After(latest) {
			latest = end
		}
	}
	if latest.IsZero() {
		return c.chain[0].NotAfter
	}
	return latest
}

// remind says that the certificate is due, or past.
func (k *keyring) remind() {
	k.mu.Lock()
	defer k.mu.Unlock()
	expires := k.current.expires()
	left := expires.Sub(k.now())
	notice := min(expiryNotice, expires.Sub(k.current.chain[0].NotBefore)/expiryShare)
	switch key := expires.String(); {
	case left <= 0 && k.laments.due(key):
		k.log.Error("the certificate for the peers has expired, so no other replica talks to this one: put a new one in its place, which needs "+
			"no restart", "file", k.files.Cert, "expired", expires)
	case left > 0 && left <= notice && k.reminders.due(key):
		k.log.Warn("the certificate for the peers expires soon: put a new one in its place, which needs no restart", "file", k.files.Cert,
			"expires", expires)
	}
}

// CertificateExpires returns when the other replicas stop taking this one's certificate, and the zero time without TLS.
func (w *Wire) CertificateExpires() time.Time {
	if w.keys == nil {
		return time.Time{}
	}
	return w.keys.credentials().expires()
}
