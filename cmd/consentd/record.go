package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// scopeRule says what an event of a kind covers.
type scopeRule uint8

const (
	permissionsOnly scopeRule = iota // it names permissions: nobody consents to everything there is
	anyScope                         // permissions, purposes, channels, or everything, if that is said
	wholeSubject                     // it is about the subject, and names nothing
)

// verb is a subcommand of record: an event to write.
type verb struct {
	name  string
	kind  consentv1.EventKind
	scope scopeRule
	short string
}

func verbs() []verb {
	return []verb{
		{"grant", consentv1.EventKind_EVENT_KIND_GRANTED, permissionsOnly, "Consent was given"},
		{"request", consentv1.EventKind_EVENT_KIND_REQUESTED, permissionsOnly, "Consent was asked for"},
		{"confirm", consentv1.EventKind_EVENT_KIND_CONFIRMED, permissionsOnly, "The double opt-in was confirmed"},
		{"refuse", consentv1.EventKind_EVENT_KIND_REFUSED, permissionsOnly, "Consent was refused"},
		{"withdraw", consentv1.EventKind_EVENT_KIND_WITHDRAWN, anyScope, "Consent was withdrawn (Art. 7(3) GDPR)"},
		{"object", consentv1.EventKind_EVENT_KIND_OBJECTED, anyScope, "The subject objected (Art. 21 GDPR)"},
		{"lift-objection", consentv1.EventKind_EVENT_KIND_OBJECTION_LIFTED, anyScope, "The subject took an objection back"},
		{"invalidate", consentv1.EventKind_EVENT_KIND_INVALIDATED, anyScope, "The consent is void: it failed an audit, say"},
		{"evidence", consentv1.EventKind_EVENT_KIND_EVIDENCE_ADDED, permissionsOnly, "Evidence for an earlier grant was found"},
		{"use", consentv1.EventKind_EVENT_KIND_USED, permissionsOnly, "The permission was used"},
		{"suppress", consentv1.EventKind_EVENT_KIND_SUPPRESSED, wholeSubject, "The subject was put on the suppression list"},
		{"unsuppress", consentv1.EventKind_EVENT_KIND_UNSUPPRESSED, wholeSubject, "The subject was taken off the suppression list"},
		{"undeliverable", consentv1.EventKind_EVENT_KIND_UNDELIVERABLE, anyScope, "Messages bounce"},
		{"deliverable", consentv1.EventKind_EVENT_KIND_DELIVERABLE, anyScope, "Messages arrive again"},
		{"restrict", consentv1.EventKind_EVENT_KIND_RESTRICTED, wholeSubject, "Processing was restricted (Art. 18 GDPR)"},
		{"unrestrict", consentv1.EventKind_EVENT_KIND_UNRESTRICTED, wholeSubject, "Processing is no longer restricted"},
		{"set", consentv1.EventKind_EVENT_KIND_ATTRIBUTES_SET, wholeSubject, "Facts about the subject were learned"},
		{"grounds", consentv1.EventKind_EVENT_KIND_GROUNDS_RECORDED, anyScope, "Grounds that override an objection were found (Art. 21(1) GDPR)"},
		{"erase", consentv1.EventKind_EVENT_KIND_ERASED, wholeSubject, "The subject was erased (Art. 17 GDPR)"},
	}
}

type recordOutput struct {
	Revision string   `json:"revision"`
	Effects  []string `json:"effects"`
}

func newRecordCommand(c *cli) *cobra.Command {
	var commands []*cobra.Command
	for _, v := range verbs() {
		commands = append(commands, newVerbCommand(c, v))
	}
	return newGroup("record", "Write what happened to a subject", commands...)
}

func newVerbCommand(c *cli, v verb) *cobra.Command {
	flags := &recordFlags{}
	cmd := &cobra.Command{
		Use:     v.name + " SUBJECT" + v.operands(),
		Short:   v.short,
		Long:    v.short + ".\n\n" + v.scopeHelp() + "\n" + detailHelp(v),
		Example: v.example(),
		Args:    subjectAndMore,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			event, err := flags.event(v, args)
			if err != nil {
				return err
			}
			return c.record(cmd.Context(), event, flags)
		}),
	}
	flags.add(cmd, v)
	return cmd
}

func (v verb) operands() string {
	switch v.scope {
	case permissionsOnly:
		return " PERMISSION ... [key=value ...]"
	case anyScope:
		return " [PERMISSION ...] [key=value ...]"
	}
	return " [key=value ...]"
}

func (v verb) scopeHelp() string {
	switch v.scope {
	case permissionsOnly:
		return "Name the permissions that it is about."
	case anyScope:
		return "Name the permissions that it covers, or purposes or channels as a whole\n" +
			"(purposes=newsletter channels=email,post), or say --all."
	}
	return "It is about the subject as a whole."
}

func (v verb) example() string {
	switch v.name {
	case "grant":
		return "  consentd record grant anna@example.com newsletter/email --notice-version 3 --method web_form --source checkout --proof forms/8812"
	case "set":
		return "  consentd record set anna@example.com relationship=customer address_from_sale=true opt_out_notice_given=true"
	case "object":
		return "  consentd record object anna@example.com --marketing --all"
	case "undeliverable", "deliverable":
		return fmt.Sprintf("  consentd record %s anna@example.com channels=email", v.name)
	case "evidence":
		return "  consentd record evidence anna@example.com newsletter/email --method web_form --source checkout --proof forms/8812"
	}
	if v.scope == wholeSubject {
		return fmt.Sprintf("  consentd record %s anna@example.com", v.name)
	}
	return fmt.Sprintf("  consentd record %s anna@example.com newsletter/email", v.name)
}

// record writes one event. The request id is chosen here, so that a write whose fate isn't known can be repeated with it.
func (c *cli) record(ctx context.Context, event *consentv1.Event, flags *recordFlags) error {
	id, err := flags.id()
	if err != nil {
		return err
	}
	request := &consentv1.WriteEventsRequest{
		Tenant: c.tenant, RequestId: id, Events: []*consentv1.Event{event}, ValidateOnly: flags.dryRun,
	}
	if flags.everywhere {
		request.WaitFor = consentv1.WaitFor_WAIT_FOR_EVERYWHERE
	}
	reply, err := c.writeEvents(ctx, request)
	if err != nil {
		if !flags.dryRun && outcomeUnknown(err) {
			c.messagef("consentd: it may or may not have been written: repeat the command with --request-id %s", id)
		}
		return c.namePermissions(ctx, err, event.GetScope().GetPermissions()...)
	}
	out := recordOutput{Revision: reply.GetRevision(), Effects: []string{}}
	for _, effect := range reply.GetEffects() {
		out.Effects = append(out.Effects, nameOf(effect))
		if text := effectInWords(event, effect); text != "" {
			c.messagef("consentd: %s", text)
		}
	}
	c.warnOfMisses(ctx, event.GetScope())
	if flags.dryRun {
		c.messagef("consentd: nothing was written (--dry-run)")
	}
	return c.print(out, func(w io.Writer) {
		fmt.Fprintf(w, "%s at revision %s\n", strings.Join(out.Effects, ", "), out.Revision)
	})
}

// writeEvents gives a write the timeout, and on top of it as long as the server says that the wait takes for which it was refused.
func (c *cli) writeEvents(ctx context.Context, request *consentv1.WriteEventsRequest) (reply *consentv1.WriteEventsResponse, err error) {
	write := func(ctx context.Context, server *connection) (err error) {
		reply, err = server.records.WriteEvents(ctx, request)
		return err
	}
	err = c.call(ctx, write)
	if takes := takesToWait(err); takes > 0 {
		err = c.callWithin(ctx, c.timeout+takes, write)
	}
	return reply, err
}

// effectInWords says of an event that didn't do what was surely meant why that is.
func effectInWords(event *consentv1.Event, effect consentv1.Effect) string {
	switch {
	case effect == consentv1.Effect_EFFECT_SUPERSEDED && event.GetKind() == consentv1.EventKind_EVENT_KIND_EVIDENCE_ADDED:
		return "no grant that counts is the one that it is for: a \"no\" stands against that, a later grant says as much, it was left out " +
			"beside others, or there is none of that time; 'consentd subject history' shows what there is"
	case effect == consentv1.Effect_EFFECT_SUPERSEDED:
		return "something that counts more stands against it, as a later \"no\" or grant; 'consentd subject history' shows what"
	case effect == consentv1.Effect_EFFECT_UNCHANGED && event.GetKind() == consentv1.EventKind_EVENT_KIND_CONFIRMED:
		return "there is no unconfirmed grant that it counts for: one given before it; 'consentd subject history' shows what there is"
	}
	return ""
}

// newRequestID returns a UUIDv7.
func newRequestID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("no random numbers for a request id: %w", err)
	}
	return id.String(), nil
}
