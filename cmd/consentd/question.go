package main

import (
	"github.com/spf13/cobra"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// question is what a check may say beside whom and what it is about.
type question struct {
	atLeast         string
	fullyConsistent bool
	business        bool
	similarGoods    bool
}

func (q *question) addConsistency(cmd *cobra.Command) {
	cmd.Flags().StringVar(&q.atLeast, "at-least", "", "answer from data at least as new as `REVISION`: reads your own write")
	cmd.Flags().BoolVar(&q.fullyConsistent, "fully-consistent", false, "answer from data with every write acknowledged before")
	cmd.MarkFlagsMutuallyExclusive("at-least", "fully-consistent")
}

func (q *question) addSubject(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&q.business, "business", false, "ask about the subject as a business, not as a consumer (Sec. 7(2) no. 1 UWG)")
	q.addSimilarGoods(cmd)
}

func (q *question) addSimilarGoods(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&q.similarGoods, "similar-goods", false,
		"assert that what is advertised is similar to what the customer bought (Sec. 7(3) no. 2 UWG)")
}

func (q *question) consistency() *consentv1.Consistency {
	switch {
	case q.atLeast != "":
		return &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: q.atLeast}}
	case q.fullyConsistent:
		return &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}}
	}
	return nil
}

func (q *question) subjectType() consentv1.SubjectType {
	if q.business {
		return consentv1.SubjectType_SUBJECT_TYPE_BUSINESS
	}
	return consentv1.SubjectType_SUBJECT_TYPE_UNSPECIFIED
}
