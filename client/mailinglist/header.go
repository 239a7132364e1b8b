package mailinglist

import (
	"fmt"
	"strings"
	"unicode"
)

// subjectNames are what columns of subjects are called, as plainName writes them; the earlier ones are looked for first. Tools write
// their exports in the language of whoever exports, with its accents or without.
var subjectNames = []string{
	"emailaddress", "email", "emailadresse", "mailadresse",
	"adresseemail", "adressemail", "adressedemessagerie", "adressecourriel", "courriel", // French
	"correoelectrónico", "correoelectronico", "direccióndecorreoelectrónico", "direcciondecorreoelectronico", "correo", // Spanish
	"direcciónemail", "direccionemail", "direccióndeemail", "direcciondeemail",
	"indirizzoemail", "indirizzomail", "indirizzodipostaelettronica", "postaelettronica", // Italian
	"emailadres", "mailadres", // Dutch
	"endereçodeemail", "enderecodeemail", "endereçoemail", "enderecoemail", // Portuguese
	"correioeletrônico", "correioeletronico", "correioeletrónico",
	"adresemail", "adresmail", // Polish
	"epostadress", "epostadresse", "epost", // Swedish, Norwegian, Danish
	"emailováadresa", "emailovaadresa", // Czech, Slovak
	"sähköpostiosoite", "sahkopostiosoite", "sähköposti", "sahkoposti", // Finnish
	"emailcím", "emailcim", // Hungarian
	"adresădeemail", "adresadeemail", //nolint:misspell // Romanian
	"mail", "subject", "subjectid", "customerid", "userid", "kundennummer", "kundennr", "id",
}

// plainName leaves the letters and digits of a column's name, in lower case: E-Mail-Adresse and email_adresse are one.
func plainName(name string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return unicode.ToLower(c)
		}
		return -1
	}, name)
}

func namesSubject(column string) bool {
	for _, name := range subjectNames {
		if plainName(column) == name {
			return true
		}
	}
	return false
}

// sameName returns a test for names of columns, which are the same in any letter case.
func sameName(name string) func(string) bool {
	name = strings.TrimSpace(name)
	return func(other string) bool { return strings.EqualFold(name, strings.TrimSpace(other)) }
}

// column is where a column stands in a row; absent if the file has none of that name.
type column int

const absent column = -1

// of returns the column's cell without the space around it.
func (c column) of(cells []string) string {
	if c == absent {
		return ""
	}
	return strings.TrimSpace(cells[c])
}

// findColumn returns the column of a name, or absent. A column that is spelt exactly so goes before others in another letter case.
func findColumn(header []string, name string) (column, error) {
	var exact, alike []int
	for i, h := range header {
		if strings.TrimSpace(h) == strings.TrimSpace(name) {
			exact = append(exact, i)
		}
		if sameName(name)(h) {
			alike = append(alike, i)
		}
	}
	found := alike
	if len(exact) > 0 {
		found = exact
	}
	switch len(found) {
	case 0:
		return absent, nil
	case 1:
		return column(found[0]), nil
	}
	return absent, fmt.Errorf("the column %q stands there %d times: rename those that aren't meant", name, len(found))
}

// needColumn returns the column of a name. One that isn't there is an error.
func needColumn(header []string, name string) (column, error) {
	c, err := findColumn(header, name)
	if err == nil && c == absent {
		err = fmt.Errorf("there is no column %q; there are %s", name, quoted(header))
	}
	return c, err
}

// subjectColumn returns the column that holds the subjects: the one named, or the one whose name says so.
func subjectColumn(o *Options, header []string) (column, error) {
	if o.Column != "" {
		return needColumn(header, o.Column)
	}
	for _, name := range subjectNames {
		var found []int
		for i, h := range header {
			if plainName(h) == name {
				found = append(found, i)
			}
		}
		switch {
		case len(found) == 1:
			return column(found[0]), nil
		case len(found) > 1:
			return absent, fmt.Errorf("the columns %q and %q could both hold the subjects: name one", header[found[0]], header[found[1]])
		}
	}
	return absent, fmt.Errorf("no column's name says that it holds the subjects: name one of %s", quoted(header))
}

func quoted(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(show(name))
	}
	return b.String()
}
