package mailinglist

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestColumns(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	at := time.Date(2021, 7, 8, 9, 10, 11, 0, time.UTC)
	tests := []struct {
		name    string
		columns map[string]string
		at      time.Time
		file    string // its header and one row
		want    string
	}{
		{
			"a grant with its proof", map[string]string{
				"granted_at": "when", "method": "how", "source": "where", "proof": "ref", "notice_version": "v", "notice_hash": "h",
				"explicit": "ex", "valid_from": "from", "expires_at": "until",
			}, time.Time{},
			"id;when;how;where;ref;v;h;ex;from;until\nc1;25.05.2019 10:11;Web-Form;checkout;forms/1;2;" + hash + ";ja;01.06.2019;2029-06-01",
			"granted 2019-05-25T10:11:00 newsletter/email v2 #abab by web_form from checkout in forms/1 " +
				"explicit=true from=2019-06-01T23:59:59.999 until=2029-06-01T00:00:00",
		},
		{"a grant at the time for all", nil, at, "email\na@example.org", "granted 2021-07-08T09:10:11 newsletter/email v1"},
		{"a grant without a time", nil, time.Time{}, "email\na@example.org", "! " + errGrantTime.Error()},
		{
			"a grant whose cell is empty", map[string]string{"granted_at": "g"}, time.Time{}, "email,g\na@example.org,", "! " +
				errGrantTime.Error(),
		},
		{
			"a no is no grant at the time for all", map[string]string{"granted_at": "g", "withdrawn_at": "w"}, at,
			"email,g,w\na@example.org,,2020-01-02", "withdrawn 2020-01-02T23:59:59.999 newsletter/email",
		},
		{
			"no withdrawal is no grant at the time for all", map[string]string{"withdrawn_at": "w", "source": "s", "method": "m"}, at,
			"email,w,s,m\na@example.org,,shop,web_form", "! " + errNothing.Error(),
		},
		{
			"a mapped grant at the time for all", map[string]string{"withdrawn_at": "w", "granted_at": "g"}, at,
			"email,w,g\na@example.org,,", "granted 2021-07-08T09:10:11 newsletter/email v1",
		},
		{
			"an unreadable yes beside a no", map[string]string{"granted_at": "g", "withdrawn_at": "w", "customer": "c"}, at,
			"email,g,w,c\na@example.org,05/06/2019,2020-01-02,yes", "withdrawn 2020-01-02T23:59:59.999 newsletter/email; " +
				`but granted_at: "05/06/2019": day and month can't be told apart`,
		},
		{
			"a yes of the future beside a no", map[string]string{"requested_at": "r", "objected_at": "o"}, at,
			"email,r,o\na@example.org,2026-06-01 12:00:01,2026-06-01", "objected 2026-06-01T23:59:59.999 newsletter/email; " +
				"but 2026-06-01 12:00:01 UTC lies in the future: import the row again once that has passed",
		},
		{
			"an unreadable no beside another", map[string]string{"granted_at": "g", "withdrawn_at": "w", "suppressed_at": "s"}, at,
			"email,g,w,s\na@example.org,2019-01-02,05/06/2019,2020-01-02", "suppressed 2020-01-02T23:59:59.999 all; " +
				`but withdrawn_at: "05/06/2019": day and month can't be told apart`,
		},
		{
			"an unreadable no, and no other", map[string]string{"granted_at": "g", "withdrawn_at": "w"}, at,
			"email,g,w\na@example.org,2019-01-02,05/06/2019", `! withdrawn_at: "05/06/2019": day and month can't be told apart`,
		},
		{
			"a consent that is none beside an unreadable yes", map[string]string{"granted_at": "g", "confirmed_at": "c", "method": "m"}, at,
			"email,g,c,m\na@example.org,2030-01-02,05/06/2019,pre_ticked",
			"granted 2030-01-02T00:00:00 newsletter/email v1 by pre_ticked from  in ; " +
				`but confirmed_at: "05/06/2019": day and month can't be told apart`,
		},
		{
			"everything that can happen", map[string]string{
				"requested_at": "1", "granted_at": "2", "confirmed_at": "3", "used_at": "4", "refused_at": "5", "withdrawn_at": "6",
				"objected_at": "7", "undeliverable_at": "8", "suppressed_at": "9",
			}, time.Time{},
			"email,1,2,3,4,5,6,7,8,9\na@example.org," + "2020-01-01,2020-01-02 03:04,2020-01-03T00:00:00+02:00,2020-01-04,2020-01-05," +
				"2020-01-06 07:08,2020-01-07 08:09:10,8.1.2020,2020-01-09",
			"requested 2020-01-01T00:00:00 newsletter/email v1; confirmed 2020-01-02T22:00:00 newsletter/email; " +
				"refused 2020-01-05T23:59:59.999 newsletter/email; withdrawn 2020-01-06T07:08:59.999 newsletter/email; " +
				"objected 2020-01-07T08:09:10 newsletter/email; used 2020-01-04T00:00:00 newsletter/email; " +
				"undeliverable 2020-01-08T23:59:59.999 email; suppressed 2020-01-09T23:59:59.999 all; " +
				"granted 2020-01-02T03:04:00 newsletter/email v1",
		},
		{
			"facts of a customer", map[string]string{
				"facts_at": "since", "customer": "k", "address_from_sale": "s", "opt_out_notice": "o", "contract_active": "c",
				"birth_date": "b", "country": "l", "business": "u", "guardian_authorised": "g",
			}, time.Time{},
			"email;since;k;s;o;c;b;l;u;g\na@example.org;03.04.2020;ja;1;nein;TRUE;24.7.1961;de;n;", "attributes_set 2020-04-03T00:00:00 all " +
				"customer sale=true notice=false contract=true business=false born=1961-07-24 country=DE",
		},
		{
			"facts are no grant", map[string]string{"relationship": "r", "granted_at": "g"}, at, "email,r,g\na@example.org,former customer,",
			"attributes_set 2021-07-08T09:10:11 all former_customer",
		},
		{
			"facts without a time", map[string]string{"customer": "k"}, time.Time{}, "email,k\na@example.org,no", "! " +
				errFactsTime.Error(),
		},
		{"no facts", map[string]string{"customer": "k"}, at, "email,k\na@example.org,", "! " + errNothing.Error()},
		{
			"forgotten facts", map[string]string{"birth_date": "b", "country": "c"}, at, "email,b,c\na@example.org,None,none",
			"attributes_set 2021-07-08T09:10:11 all born=none country=none",
		},

		{
			"day and month unclear", map[string]string{"granted_at": "g"}, at, "email,g\na@example.org,01/02/2019",
			`! granted_at: "01/02/2019": day and month can't be told apart`,
		},
		{
			"before all time", map[string]string{"granted_at": "g"}, at, "email,g\na@example.org,1969-12-31",
			`! granted_at: "1969-12-31" lies outside the years 1970 to 2248`,
		},
		{
			"an unknown method", map[string]string{"method": "m"}, at, "email,m\na@example.org,telepathy",
			`! method: "telepathy" isn't known: write one of app, banner, bought_list, email, implied, in_person, paper, phone, ` +
				`pre_ticked, sms, web_form`,
		},
		{
			"no number", map[string]string{"notice_version": "v"}, at, "email,v\na@example.org,-3",
			`! notice_version: "-3" is no number`,
		},
		{
			"no hash", map[string]string{"notice_hash": "h"}, at, "email,h\na@example.org,abcd",
			"! notice_hash: a SHA-256 has 32 bytes: write it as 64 hexadecimal digits",
		},
		{
			"neither yes nor no", map[string]string{"customer": "k"}, at, "email,k\na@example.org,maybe",
			`! customer: "maybe" is neither yes nor no`,
		},
		{
			"no country", map[string]string{"country": "k"}, at, "email,k\na@example.org,Österreich",
			`! country: "Österreich" is no country code of two letters, as DE`,
		},
		{
			"an address where a time should be", map[string]string{"granted_at": "g"}, at, "email,g\na@example.org,b@example.org",
			"! granted_at: the value is no time: write it as 2019-05-25 10:11:12, 2019-05-25T10:11:12Z or 25.05.2019 10:11",
		},
		{"no subject", nil, at, "email,x\n ,x", "! " + errNoSubject.Error()},
		{"too long a subject", nil, at, "id\n" + strings.Repeat("x", 257), "! the subject's id has 257 bytes, and may have 256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Format: CSV, Permission: "newsletter/email", NoticeVersion: 1, At: tt.at, Columns: tt.columns}
			rows := all(t, open(t, o, writeList(t, "list.csv", tt.file)))
			if len(rows) != 1 {
				t.Fatalf("%d rows, want 1", len(rows))
			}
			if got := brief(rows[0]); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestNDJSON(t *testing.T) {
	const list = `{"subject": "a@example.org", "kind": "EVENT_KIND_GRANTED", "occurredAt": "2020-01-02T03:04:05Z", ` +
		`"scope": {"permissions": ["newsletter/phone"]}, "evidence": {"method": "METHOD_PHONE", "source": "calls", "reference": "c/1"}}

{"subject": "b", "kind": "EVENT_KIND_GRANTED", "occurred_at": "2020-01-02T03:04:05Z", "evidence": {"notice_version": 2}}
{"subject": "c", "kind": "EVENT_KIND_WITHDRAWN"}
{"subject": "d", "occurred_at": "2020-01-02T03:04:05Z"}
{"subject": "", "kind": "EVENT_KIND_WITHDRAWN", "occurred_at": "2020-01-02T03:04:05Z"}
{"subject": "e", "kind": "EVENT_KIND_WITHDRAWN", "occurred_at": "2020-01-02T03:04:05Z", "mood": "bad"}
{"subject": "f@example.org"
{"subject": "g", "kind": "EVENT_KIND_CONFIRMED", "occurred_at": "2090-01-02T03:04:05Z"}
{"subject": "h", "kind": "EVENT_KIND_WITHDRAWN", "occurred_at": "0001-01-02T03:04:05Z"}
` + "{\"subject\": \"\xff\"}"
	tests := []struct {
		line int
		want string
	}{
		{1, "granted 2020-01-02T03:04:05 newsletter/phone v3 by phone from calls in c/1"},
		{3, "granted 2020-01-02T03:04:05 all v2"},
		{4, "! " + errNoTime.Error()},
		{5, "! the event has no kind"},
		{6, "! " + errNoSubject.Error()},
		{7, "! the line is no event of consent.v1 as JSON: "},
		{8, "! the line is no event of consent.v1 as JSON"},
		{9, "! 2090-01-02 03:04:05 UTC lies in the future: import the row again once that has passed"},
		{10, "! the event's time lies outside the years 1970 to 2248"},
		{11, "! " + errEncoding.Error()},
	}
	rows := all(t, open(t, Options{Format: NDJSON, NoticeVersion: 3, Encoding: "utf8"}, writeList(t, "calls.ndjson", list)))
	if len(rows) != len(tests) {
		t.Fatalf("%d rows, want %d", len(rows), len(tests))
	}
	for i, tt := range tests {
		if got := brief(rows[i]); rows[i].Line != tt.line || !strings.HasPrefix(got, tt.want) {
			t.Errorf("line %d: %s\nwant line %d: %s", rows[i].Line, got, tt.line, tt.want)
		}
		if err := rows[i].Err; err != nil && strings.Contains(err.Error(), "@") {
			t.Errorf("an address stands in an error: %v", err)
		}
	}
	dated := Options{Format: NDJSON, At: time.Date(2021, 7, 8, 9, 10, 11, 0, time.UTC)}
	if got, want := brief(all(t, open(t, dated, writeList(t, "calls.ndjson", list)))[2]), "withdrawn 2021-07-08T09:10:11 all"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUndatedFacts(t *testing.T) {
	for _, tt := range []struct {
		columns map[string]string
		at      time.Time
		want    []string
	}{
		{map[string]string{"country": "c", "customer": "k", "granted_at": "g"}, time.Time{}, []string{"customer", "country"}},
		{map[string]string{"customer": "k", "facts_at": "f"}, time.Time{}, nil},
		{map[string]string{"customer": "k"}, time.Unix(1e9, 0), nil},
		{map[string]string{"granted_at": "g"}, time.Time{}, nil},
	} {
		if got := (Options{Columns: tt.columns, At: tt.at}).UndatedFacts(); !slices.Equal(got, tt.want) {
			t.Errorf("%v at %v: %v, want %v", tt.columns, tt.at, got, tt.want)
		}
	}
}
