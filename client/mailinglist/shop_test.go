package mailinglist

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/shop.golden anew")

const shop = "../../examples/shop/"

// shopNow is when the shop's lists are read and asked about.
var shopNow = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// shopLists are the lists, read as the README there says.
var shopLists = []struct {
	file string
	o    Options
}{
	{"mailchimp.zip", Options{Format: Mailchimp, Permission: "newsletter/email", NoticeVersion: 3, Now: shopNow}},
	{"kunden.csv", Options{Format: CSV, Permission: "newsletter/email", Now: shopNow, Columns: map[string]string{
		"subject": "E-Mail", "facts_at": "Kunde seit", "customer": "Kunde", "address_from_sale": "Adresse beim Kauf erhalten",
		"opt_out_notice": "Hinweis auf Widerspruch", "contract_active": "Vertrag aktiv", "birth_date": "Geburtsdatum", "country": "Land",
	}}},
	{"fair-2017.csv", Options{Format: CSV, Permission: "newsletter/email", Now: shopNow, Columns: map[string]string{
		"granted_at": "Signed on", "notice_version": "Notice", "proof": "Form", "method": "Method", "source": "Source",
	}}},
	{"calls.ndjson", Options{Format: NDJSON, Now: shopNow}},
	{"segment.csv", segment},
}

// TestShopLists reads every list of the example shop, and compares what its rows say with a golden file: an address, its events or why
// there are none. Run with -update after a change that is meant.
func TestShopLists(t *testing.T) {
	var got bytes.Buffer
	for _, list := range shopLists {
		r := open(t, list.o, shop+list.file)
		fmt.Fprintf(&got, "== %s: %q\n", list.file, r.Header())
		rejected := 0
		rows := all(t, r)
		for _, row := range rows {
			if row.Err != nil {
				rejected++
			}
			fmt.Fprintf(&got, "%s:%d %s: %s\n", row.File, row.Line, row.Subject, brief(row))
		}
		fmt.Fprintf(&got, "%d rows, %d rejected, %d duplicates\n\n", len(rows), rejected, r.Duplicates())
	}
	golden := filepath.Join("testdata", "shop.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the lists say something else (-want +got):\n%s", diff)
	}
}

// The ZIP is the three exports, as they are.
func TestShopZIPIsItsFiles(t *testing.T) {
	zipped := all(t, open(t, newsletter, shop+"mailchimp.zip"))
	var paths []string
	for _, kind := range []string{"subscribed", "unsubscribed", "cleaned"} {
		paths = append(paths, shop+kind+"_email_audience_export_7c1d09e4f2.csv")
	}
	plain := all(t, open(t, newsletter, paths...))
	if len(zipped) != len(plain) {
		t.Fatalf("%d rows in the ZIP, %d in the files", len(zipped), len(plain))
	}
	for i := range plain {
		if got, want := zipped[i].File+" "+brief(zipped[i]), plain[i].File+" "+brief(plain[i]); got != want {
			t.Errorf("row %d: %s in the ZIP, %s in the file", i, got, want)
		}
	}
}
