package client

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/consentd/consentd/consent"
)

// Question asks for one permission of one subject.
type Question struct {
	Subject      string              // the caller's own id of the data subject, 1 to 256 bytes
	Permission   string              // as "newsletter/email" or "crm_storage"
	SubjectType  consent.SubjectType // zero: decided as a consumer, who is protected more
	SimilarGoods bool                // what is advertised is similar to what the existing customer bought: Sec. 7(3) no. 2 UWG
	// Consistency says how new the data under the answer must be. The zero value asks for data within the staleness bound that includes what
	// this client wrote.
	Consistency consent.Consistency
}

func (q *Question) law() consent.Question {
	return consent.Question{SubjectType: q.SubjectType, SimilarGoods: q.SimilarGoods}
}

var (
	errNotText     = fmt.Errorf("tenant, subject and permissions have to be UTF-8: %w", ErrInvalid)
	errSubject     = fmt.Errorf("the subject's id can't be used: give 1 to %d bytes of UTF-8: %w", consent.MaxSubjectBytes, ErrInvalid)
	errSubjectType = fmt.Errorf("no such type of subject: take consent.Consumer or consent.Business: %w", ErrInvalid)
)

// check refuses what can't be asked anywhere.
func (q *Question) check() error {
	if q.SubjectType > consent.Business {
		return errSubjectType
	}
	return nil
}

// checkText refuses what the library would refuse to send, because on a lane that would end the calls of others.
func (q *Question) checkText(tenant string, permissions []string) error {
	valid := utf8.ValidString(tenant) && utf8.ValidString(q.Subject) && utf8.ValidString(q.Permission)
	for _, p := range permissions {
		valid = valid && utf8.ValidString(p)
	}
	if !valid {
		return errNotText
	}
	return nil
}

// Answer is a decision, and what it was made from. The zero Answer denies.
type Answer struct {
	consent.Decision
	Revision      consent.Revision // the answer is at least as new
	PolicyVersion int64            // of the policy that decided
	Age           time.Duration    // how old the data may be: the time since it was proven to be the newest
	CacheFor      time.Duration    // how long the answer may be kept; zero: not at all
}

// Result is the answer for one of several permissions, or why there is none. The zero Result denies.
type Result struct {
	Answer
	Err error // not nil: Answer is zero
}
