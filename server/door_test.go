package server

import (
	"strings"
	"testing"
)

func TestKeepCaseIsThePolicys(t *testing.T) {
	r := newRig(t)
	r.memory.put(t, "strict", "keep_case: true\n"+testPolicy)
	for tenant, want := range map[string]string{"default": "CONSENT", "strict": "NO_CONSENT"} {
		e := grant("ANNA@example.org", "recommendations/web")
		request := events(e)
		request.Tenant = tenant
		if _, err := r.records.WriteEvents(background(t), request); err != nil {
			t.Fatal(err)
		}
		reply := r.checkTenant(t, tenant, anna, "recommendations/web")
		if got := strings.TrimPrefix(reasonOf(t, reply).String(), "REASON_"); got != want {
			t.Errorf("%s: %s, want %s", tenant, got, want)
		}
	}
}
