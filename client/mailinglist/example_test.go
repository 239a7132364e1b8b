package mailinglist_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/consentd/consentd/client/mailinglist"
)

const calls = `Kundennummer;Anruf am;Ergebnis
K-1001;24.07.2024 10:30;Formular 77
K-1002;am Montag;Formular 78
`

func ExampleOpen() {
	r, err := mailinglist.Open([]string{"-"}, mailinglist.Options{
		Format:     mailinglist.CSV,
		Permission: "newsletter/phone",
		Columns:    map[string]string{"granted_at": "Anruf am", "proof": "Ergebnis"},
		Stdin:      strings.NewReader(calls),
	})
	if err != nil {
		log.Fatal(err)
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if row.Err != nil {
			fmt.Printf("line %d can't be used\n", row.Line)
			continue
		}
		for _, event := range row.Events {
			fmt.Println(row.Subject, event.GetKind(), event.GetOccurredAt().AsTime())
		}
	}
	// Output:
	// K-1001 EVENT_KIND_GRANTED 2024-07-24 10:30:00 +0000 UTC
	// line 3 can't be used
}

func ExampleWriter() {
	r, err := mailinglist.Open([]string{"-"}, mailinglist.Options{
		Format: mailinglist.CSV, SubjectsOnly: true, Stdin: strings.NewReader("email,town\nanna@example.org,\"Ulm, Donau\"\n"),
	})
	if err != nil {
		log.Fatal(err)
	}
	w, err := mailinglist.NewWriter(os.Stdout, r, "decision")
	if err != nil {
		log.Fatal(err)
	}
	for row, err := r.Next(); err == nil; row, err = r.Next() {
		if err := w.Write(row, "DENY"); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// email,town,decision
	// anna@example.org,"Ulm, Donau",DENY
}
