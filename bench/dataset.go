package bench

import (
	"strconv"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// permission is what is asked about.
const permission = "offers/email"

// policy is what decides it: consent, confirmed by a click.
const policy = `notice: {current: 1, min_material: 1}
purposes:
  offers:
    direct_marketing: true
    channels:
      email:
        bases: [consent]
        double_opt_in: true
`

// dataset is who there is, and the model that answers are judged by: the n-th subject has confirmed, or has withdrawn.
type dataset struct {
	subjects uint64
	allowed  uint64 // of 2^32
	seed     uint64
}

func newDataset(o *Options) dataset {
	return dataset{uint64(o.Subjects), uint64(o.Allowed * (1 << 32)), o.Seed} //nolint:gosec // validated
}

// subject returns the id of the n-th subject.
func (dataset) subject(n uint64) string { return string(appendSubject(make([]byte, 0, 24), n)) }

func appendSubject(to []byte, n uint64) []byte {
	to = append(to, "subject-"...)
	for limit := uint64(1e9); n < limit && limit > 1; limit /= 10 {
		to = append(to, '0')
	}
	return strconv.AppendUint(to, n, 10)
}

// allows reports whether the n-th subject's answer is ALLOW.
func (d dataset) allows(n uint64) bool { return scatter(n^d.seed<<1)>>32 < d.allowed }

// wants returns the n-th subject's answer.
func (d dataset) wants(n uint64) consentv1.Decision {
	if d.allows(n) {
		return consentv1.Decision_DECISION_ALLOW
	}
	return consentv1.Decision_DECISION_DENY
}

// mark is the subject who has confirmed once all others are there. Another data set has another one.
func (d dataset) mark() string {
	return "data set " + strconv.FormatUint(d.subjects, 10) + "/" + strconv.FormatUint(d.allowed, 10) + "/" + strconv.FormatUint(d.seed, 10)
}

// scatter is the finalizer of SplitMix64.
func scatter(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
