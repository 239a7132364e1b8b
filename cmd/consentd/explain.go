package main

import (
	"fmt"
	"io"
	"strings"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// printWalk prints one permission's way through the decision table, for people.
func (d *decisionOutput) printWalk(w io.Writer) {
	if d.Error != nil {
		fmt.Fprintf(w, "%s: no answer: %s\n\n", d.Permission, d.Error.Message)
		return
	}
	fmt.Fprintf(w, "%s: %s %s", d.Permission, *d.Decision, d.Reason)
	if basis := orDash(d.Basis); basis != "-" && basis != d.Reason {
		fmt.Fprintf(w, ", on the basis %s", basis)
	}
	if d.NextChange != nil {
		fmt.Fprintf(w, ", until %s at the latest", *d.NextChange)
	}
	fmt.Fprintln(w)
	if len(d.Obligations) > 0 {
		fmt.Fprintf(w, "  owed in return: %s\n", strings.Join(d.Obligations, ", "))
	}
	fmt.Fprintln(w, "  asked, row by row of the decision table:")
	for _, step := range d.explained.steps {
		printStep(w, step)
	}
	if len(d.explained.failed) > 0 {
		fmt.Fprintln(w, "  what failed, and what would mend it:")
	}
	for _, failed := range d.explained.failed {
		fmt.Fprintf(w, "    %s (row %s%s): %s\n", nameOf(failed.GetReason()), failed.GetRow(), ofBasis(failed.GetBasis()), failed.GetDetail())
		fmt.Fprintf(w, "      %s: %s\n", nameOf(failed.GetRemedy()), failed.GetAdvice())
	}
	fmt.Fprintln(w)
}

func printStep(w io.Writer, step *consentv1.Step) {
	answer, verdict := "no ", ""
	if step.GetMatched() {
		answer, verdict = "YES", fmt.Sprintf(" => %s %s", decisionName(step.GetDecision()), nameOf(step.GetReason()))
	}
	fmt.Fprintf(w, "    %s  row %s%s: %s%s", answer, step.GetRow(), ofBasis(step.GetBasis()), step.GetCondition(), verdict)
	if source := step.GetSource(); source != "" {
		fmt.Fprintf(w, " [%s]", source)
	}
	fmt.Fprintln(w)
	if len(step.GetFacts()) > 0 {
		fmt.Fprintf(w, "           %s\n", strings.Join(step.GetFacts(), "; "))
	}
}

func ofBasis(basis consentv1.Basis) string {
	if basis == consentv1.Basis_BASIS_UNSPECIFIED {
		return ""
	}
	return ", " + nameOf(basis)
}
