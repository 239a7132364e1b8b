package consent

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"newsletter/email", "newsletter/post", "ads", "double_opt_in", "confirm_within"}
	for name, want := range map[string]string{
		"newsleter/email": "newsletter/email", "double_optin": "double_opt_in", "double-opt-in": "double_opt_in", "confirm_witin": "confirm_within",
		"ad": "ads", "newsletter/pigeon": "", "newsletter/psot": "newsletter/post", "adz": "ads", "ads": "ads", "x": "", "": "", "shoe_size": "", strings.Repeat("newsletter", 100): "",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("%.40q is taken for %q, want %q", name, got, want)
		}
	}
	for _, tt := range []struct {
		from, to string
		want     int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}} {
		if got := distance(tt.from, tt.to); got != tt.want {
			t.Errorf("from %q to %q is %d, want %d", tt.from, tt.to, got, tt.want)
		}
	}
}
