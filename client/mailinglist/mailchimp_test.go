package mailinglist

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const (
	subscribedHeader   = "Email Address,First Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LAST_CHANGED,NOTES"
	unsubscribedHeader = "Email Address,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_REASON," +
		"UNSUB_REASON_OTHER,LAST_CHANGED"
	cleanedHeader = "Email Address,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,CLEAN_TIME,CLEAN_CAMPAIGN_TITLE,LAST_CHANGED"
)

var newsletter = Options{Format: Mailchimp, Permission: "newsletter/email", Now: now}

func TestMailchimpRows(t *testing.T) {
	const proof = " by web_form from mailchimp in list.csv:2"
	tests := []struct {
		name, header, row string
		at                time.Time
		want              string
	}{
		{
			"a double opt-in", subscribedHeader,
			`a@example.org,A,2,"2019-05-25 10:11:12",192.0.2.1,"2019-05-25 10:15:00",192.0.2.1,"2020-01-01 00:00:00",`, time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof + "; confirmed 2019-05-25T10:15:00 newsletter/email",
		},
		{
			"a double opt-in through another tool's form", subscribedHeader,
			"a@example.org,A,2,2019-05-25 10:11:12,,2019-05-25 10:15:00,192.0.2.1,2020-01-01 00:00:00,", time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof + "; confirmed 2019-05-25T10:15:00 newsletter/email",
		},
		{
			"a single opt-in, both times equal", subscribedHeader,
			"a@example.org,A,2,2019-05-25 10:11:12,192.0.2.1,2019-05-25 10:11:12,192.0.2.1,2020-01-01 00:00:00,", time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof,
		},
		{
			"a single opt-in, confirmed by nobody", subscribedHeader,
			"a@example.org,A,2,2019-05-25 10:11:12,192.0.2.1,2019-05-26 10:11:12,,2020-01-01 00:00:00,", time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof,
		},
		{
			"confirmed before the opt-in", subscribedHeader,
			"a@example.org,A,2,2019-05-25 10:11:12,192.0.2.1,2019-05-24 10:11:12,192.0.2.1,2020-01-01 00:00:00,", time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof,
		},
		{
			"a single opt-in from no address", subscribedHeader,
			"a@example.org,A,2,2019-05-25 10:11:12,,2019-05-25 10:11:12,,2020-01-01 00:00:00,", time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof,
		},
		{
			"imported", subscribedHeader, "a@example.org,A,2,,,2018-03-04 05:06:07,198.51.100.7,2020-01-01 00:00:00,", time.Time{},
			"granted 2018-03-04T05:06:07 newsletter/email",
		},
		{
			"imported, with the time of the last change alone", subscribedHeader,
			"a@example.org,A,2,,,,,2020-01-01 00:00:00,", time.Time{}, "granted 2020-01-01T00:00:00 newsletter/email",
		},
		{"without any time", subscribedHeader, "a@example.org,A,2,,,,,,", time.Time{}, "! " + errNoTime.Error()},
		{
			"without any time, but one for all such rows", subscribedHeader, "a@example.org,A,2,,,,,,",
			time.Date(2017, 1, 2, 3, 4, 5, 0, time.UTC), "granted 2017-01-02T03:04:05 newsletter/email",
		},
		{
			"an impossible time", subscribedHeader, "a@example.org,A,2,2019-02-30 10:11:12,,,,2020-01-01 00:00:00,", time.Time{},
			`! OPTIN_TIME: "2019-02-30 10:11:12" is no time: write it as 2019-05-25 10:11:12, 2019-05-25T10:11:12Z or 25.05.2019 10:11`,
		},
		{
			"a time of the future", subscribedHeader, "a@example.org,A,2,2062-05-25 10:11:12,192.0.2.1,,,,", time.Time{},
			"! 2062-05-25 10:11:12 UTC lies in the future: import the row again once that has passed",
		},
		{
			"an hour from now", subscribedHeader, "a@example.org,A,2,2026-06-01 13:00:00,192.0.2.1,,,,", time.Time{},
			"! 2026-06-01 13:00:00 UTC lies in the future: import the row again once that has passed",
		},
		{
			"now", subscribedHeader, "a@example.org,A,2,2026-06-01 12:00:00,192.0.2.1,,,,", time.Time{},
			"granted 2026-06-01T12:00:00 newsletter/email" + proof,
		},
		{"no address", subscribedHeader, "nobody,A,2,2019-05-25 10:11:12,,,,,", time.Time{}, "! the row holds no e-mail address"},
		{"an empty address", subscribedHeader, ",A,2,2019-05-25 10:11:12,,,,,", time.Time{}, "! the row names no subject"},
		{
			"too few cells", subscribedHeader, "a@example.org,A,2", time.Time{}, "! the row has 3 cells, and the header 9",
		},

		{
			"unsubscribed", unsubscribedHeader,
			"a@example.org,2019-05-25 10:11:12,192.0.2.1,2019-05-25 10:15:00,192.0.2.1,2020-02-03 04:05:06,Spring,NORMAL,,", time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof + "; confirmed 2019-05-25T10:15:00 newsletter/email; " +
				"withdrawn 2020-02-03T04:05:06 newsletter/email",
		},
		{
			"unsubscribed, imported before", unsubscribedHeader,
			"a@example.org,,,2018-05-25 10:15:00,,2020-02-03 04:05:06,,,,", time.Time{},
			"granted 2018-05-25T10:15:00 newsletter/email; withdrawn 2020-02-03T04:05:06 newsletter/email",
		},
		{
			"unsubscribed, dated by the last change", unsubscribedHeader, "a@example.org,,,,,,,,,2020-03-03 04:05:06", time.Time{},
			"withdrawn 2020-03-03T04:05:06 newsletter/email",
		},
		{
			"unsubscribed at an unreadable time", unsubscribedHeader,
			"a@example.org,,,,,yesterday,,,,2020-03-03 04:05:06", time.Time{}, "withdrawn 2020-03-03T04:05:06 newsletter/email",
		},
		{
			"unsubscribed, and the history unreadable", unsubscribedHeader,
			"a@example.org,long ago,,,,2020-02-03 04:05:06,,,,", time.Time{}, "withdrawn 2020-02-03T04:05:06 newsletter/email; " +
				`but OPTIN_TIME: "long ago" is no time: write it as 2019-05-25 10:11:12, 2019-05-25T10:11:12Z or 25.05.2019 10:11`,
		},
		{
			"unsubscribed in the future, after an opt-in of the future", unsubscribedHeader,
			"a@example.org,2026-06-01 13:00:00,192.0.2.1,,,2026-06-01 14:00:00,,spam,,", time.Time{},
			"withdrawn 2026-06-01T14:00:00 newsletter/email; objected 2026-06-01T14:00:00 all to marketing; " +
				"but 2026-06-01 13:00:00 UTC lies in the future: import the row again once that has passed",
		},
		{
			"unsubscribed before the opt-in, which would undo it", unsubscribedHeader,
			"a@example.org,2021-05-25 10:11:12,192.0.2.1,2021-05-25 10:15:00,192.0.2.1,2020-02-03 04:05:06,,,,", time.Time{},
			"withdrawn 2020-02-03T04:05:06 newsletter/email",
		},
		{
			"unsubscribed before the confirmation", unsubscribedHeader,
			"a@example.org,2019-05-25 10:11:12,192.0.2.1,2021-05-25 10:15:00,192.0.2.1,2020-02-03 04:05:06,,,,", time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof + "; withdrawn 2020-02-03T04:05:06 newsletter/email",
		},
		{
			"unsubscribed on a day", unsubscribedHeader, "a@example.org,,,,,2020-02-03,,,,", time.Time{},
			"withdrawn 2020-02-03T23:59:59.999 newsletter/email",
		},
		{"unsubscribed at no time", unsubscribedHeader, "a@example.org,,,,,,,,,", time.Time{}, "! " + errNoTime.Error()},
		{
			"an abuse complaint", unsubscribedHeader, "a@example.org,,,,,2020-02-03 04:05:06,,N/A (Abuse complaint),,", time.Time{},
			"withdrawn 2020-02-03T04:05:06 newsletter/email; objected 2020-02-03T04:05:06 all to marketing",
		},
		{
			"reported as spam", unsubscribedHeader, "a@example.org,,,,,2020-02-03 04:05:06,,SPAM,,", time.Time{},
			"withdrawn 2020-02-03T04:05:06 newsletter/email; objected 2020-02-03T04:05:06 all to marketing",
		},
		{
			"an abuse complaint in place of the campaign", unsubscribedHeader,
			"a@example.org,,,,,2020-02-03 04:05:06,Abuse Complaint,,,", time.Time{},
			"withdrawn 2020-02-03T04:05:06 newsletter/email; objected 2020-02-03T04:05:06 all to marketing",
		},

		{
			"cleaned", cleanedHeader, "a@example.org,2019-05-25 10:11:12,192.0.2.1,,,2020-02-03 04:05:06,Spring,", time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof + "; undeliverable 2020-02-03T04:05:06 email",
		},
		{
			"cleaned in the future, after an opt-in of the future", cleanedHeader,
			"a@example.org,2026-06-01 13:00:00,192.0.2.1,,,2026-06-01 14:00:00,Spring,", time.Time{},
			"undeliverable 2026-06-01T14:00:00 email; " +
				"but 2026-06-01 13:00:00 UTC lies in the future: import the row again once that has passed",
		},
		{
			"cleaned, dated by the last change", cleanedHeader, "a@example.org,,,,,,,2020-02-03 04:05:06", time.Time{},
			"undeliverable 2020-02-03T04:05:06 email",
		},

		{
			"all kinds in one: unsubscribed", "Email Address,UNSUB_TIME,CLEAN_TIME", "a@example.org,2020-02-03 04:05:06,", time.Time{},
			"withdrawn 2020-02-03T04:05:06 newsletter/email",
		},
		{
			"all kinds in one: cleaned", "Email Address,UNSUB_TIME,CLEAN_TIME", "a@example.org,,2020-02-03 04:05:06", time.Time{},
			"undeliverable 2020-02-03T04:05:06 email",
		},
		{
			"all kinds in one: neither", "Email Address,UNSUB_TIME,CLEAN_TIME", "a@example.org,,", time.Time{},
			"! " + errNoStatus.Error(),
		},
		{
			"columns in another order and letter case", "confirm_ip,Confirm_Time,optin_ip,Optin_Time,EMAIL ADDRESS,Extra",
			"192.0.2.1,2019-05-25 10:15:00,192.0.2.1,2019-05-25 10:11:12,a@example.org,x", time.Time{},
			"granted 2019-05-25T10:11:12 newsletter/email" + proof + "; confirmed 2019-05-25T10:15:00 newsletter/email",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newsletter
			o.At = tt.at
			rows := all(t, open(t, o, writeList(t, "list.csv", "\xef\xbb\xbf"+tt.header+"\r\n"+tt.row+"\r\n")))
			if len(rows) != 1 {
				t.Fatalf("%d rows, want 1", len(rows))
			}
			if got := brief(rows[0]); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			for _, e := range rows[0].Events {
				if e.Subject != "a@example.org" {
					t.Errorf("subject %q", e.Subject)
				}
				if strings.Contains(e.String(), "192.0.2") {
					t.Errorf("an IP address is passed on: %s", e)
				}
			}
		})
	}
}

// TestMailchimpInOtherLanguages reads exports whose first column is called what Mailchimp calls it where the audience was made.
func TestMailchimpInOtherLanguages(t *testing.T) {
	for _, name := range []string{
		"E-Mail-Adresse", "Adresse e-mail", "Courriel", "Correo electrónico", "Correo electro\u0301nico", "Dirección de correo electrónico",
		"Indirizzo email", "Indirizzo e-mail", "E-mailadres", "Endereço de e-mail", "Adres e-mail", "E-postadress", //nolint:misspell // Polish
	} {
		list := strings.Replace(subscribedHeader, "Email Address", name, 1) + "\na@example.org,A,2,,,2018-03-04 05:06:07,,,\n"
		if row := all(t, open(t, newsletter, writeList(t, "list.csv", list)))[0]; row.Subject != "a@example.org" || row.Err != nil {
			t.Errorf("%s: subject %q, error %v", name, row.Subject, row.Err)
		}
	}
}

func TestMailchimpNamedColumn(t *testing.T) {
	o := newsletter
	o.Column = "how we reach you"
	list := strings.Replace(subscribedHeader, "First Name", "How we reach you", 1) + "\nx@example.org,a@example.org,2,,,2018-03-04 05:06:07,,,\n"
	if row := all(t, open(t, o, writeList(t, "list.csv", list)))[0]; row.Subject != "a@example.org" || row.Err != nil {
		t.Errorf("subject %q, error %v", row.Subject, row.Err)
	}
}

// TestNowIsTheRowsOwn reads a row of a stream that is younger than the stream.
func TestNowIsTheRowsOwn(t *testing.T) {
	in, out := io.Pipe()
	go func() {
		fmt.Fprint(out, strings.Repeat("\n", 2*peeked)) // Open reads the start of it
		line := `{"subject": "a", "kind": "EVENT_KIND_GRANTED", "occurredAt": "` + time.Now().Format(time.RFC3339Nano) + `"}`
		_, err := io.WriteString(out, line+"\n")
		out.CloseWithError(err)
	}()
	r, err := Open([]string{"-"}, Options{Format: NDJSON, Encoding: encodingUTF8, Stdin: in})
	if err != nil {
		t.Fatal(err)
	}
	if row := all(t, r)[0]; row.Err != nil {
		t.Error(row.Err)
	}
}

func TestMailchimpNoticeVersion(t *testing.T) {
	o := newsletter
	o.NoticeVersion = 3
	rows := all(t, open(t, o, writeList(t, "list.csv", subscribedHeader+"\na@example.org,A,2,,,2018-03-04 05:06:07,,,\n")))
	if got, want := brief(rows[0]), "granted 2018-03-04T05:06:07 newsletter/email v3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMailchimpFilesTogether(t *testing.T) {
	archive := writeZIP(t,
		"lists/subscribed.csv", subscribedHeader+"\nAnna@Example.org,Ännä,2,,,2018-03-04 05:06:07,,,\"one, two\n\"\"three\"\"\"\n",
		"__MACOSX/lists/subscribed.csv", "junk",
		"lists/unsubscribed.csv", unsubscribedHeader+"\nanna@example.org,,,,,2020-02-03 04:05:06,,,,\n",
		"lists/nonsubscribed_members.csv", subscribedHeader+"\nbuyer@example.org,B,2,,,2018-03-04 05:06:07,,,\n",
		"readme.txt", "not a list",
	)
	r := open(t, newsletter, archive)
	rows := all(t, r)
	if len(rows) != 3 || r.Duplicates() != 1 || !rows[1].Duplicate {
		t.Fatalf("%d rows and %d duplicates: %v", len(rows), r.Duplicates(), rows)
	}
	if got, want := rows[0].Fields[8], "one, two\n\"three\""; got != want {
		t.Errorf("notes %q, want %q", got, want)
	}
	if at := rows[1].Fields[strings.Count(subscribedHeader, ",")+1]; at != "2020-02-03 04:05:06" {
		t.Errorf("UNSUB_TIME isn't under its name: %q under %q", rows[1].Fields, r.Header())
	}
	if len(rows[2].Events) != 0 || rows[2].Err != nil {
		t.Errorf("a contact who never subscribed says %s", brief(rows[2]))
	}
	if done, total := r.Progress(); done != total || total == 0 {
		t.Errorf("progress %d of %d at the end", done, total)
	}
	for i, name := range []string{"subscribed.csv", "unsubscribed.csv", "nonsubscribed_members.csv"} {
		if rows[i].File != name || rows[i].Number != uint64(i+1) || rows[i].Line != 2 {
			t.Errorf("row %d is said to be %s:%d, number %d", i, rows[i].File, rows[i].Line, rows[i].Number)
		}
	}
}

func TestGather(t *testing.T) {
	in := writeList(t, "in.csv", subscribedHeader+"\nAnna@example.org,A,2,,,2018-03-04 05:06:07,,,\n"+
		"bert@example.org,B,2,,,2018-03-04 05:06:07,,,\ncleo@example.org,C,2,,,2018-03-04 05:06:07,,,\n")
	out := writeList(t, "out.csv", unsubscribedHeader+"\nanna@EXAMPLE.org,,,,,2020-02-03 04:05:06,,,,\ncleo@example.org,,,,,,,,,\n")
	g, err := Gather([]string{in, out}, newsletter)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range all(t, open(t, newsletter, in, out)) {
		events, err := g.Events(row)
		got = append(got, brief(Row{Events: events, Err: err}))
	}
	const anna = "granted 2018-03-04T05:06:07 newsletter/email; withdrawn 2020-02-03T04:05:06 newsletter/email"
	want := []string{
		anna, "granted 2018-03-04T05:06:07 newsletter/email",
		"! another row of the same subject, line 3 of out.csv, can't be used: " + errNoTime.Error(),
		anna, "! " + errNoTime.Error(),
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d: got %s\nwant %s", i, got[i], want[i])
		}
	}
}
