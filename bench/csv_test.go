package bench

import (
	"bytes"
	"encoding/csv"
	"testing"
)

func TestCSV(t *testing.T) {
	r := sampleReport(2)
	r.Runs[1].Server = nil
	var got bytes.Buffer
	if err := Write(&got, "csv", r); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "two-runs.csv", got.String())
}

// Who opens a report in a spreadsheet runs nothing that a server said.
func TestCSVHoldsNoFormula(t *testing.T) {
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "' =1", "\r\n=1": "'  =1", " =1": "' =1", "＝1": "'＝1",
		"": "", "p99 is fine": "p99 is fine", "1=1": "1=1",
	} {
		r := sampleReport(1)
		r.Settings.Target, r.Runs[0].Notes, r.Runs[0].Extra = text, []string{text}, []Figure{{text, 1, ""}}
		var written bytes.Buffer
		if err := Write(&written, "csv", r); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&written).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		cells := map[string]string{}
		for n, name := range rows[0] {
			cells[name] = rows[1][n]
		}
		if cells["target"] != want || cells["notes"] != want || text != "" && cells["extra"][0] != want[0] {
			t.Errorf("%q becomes %q, %q, %q, want %q", text, cells["target"], cells["notes"], cells["extra"], want)
		}
	}
}
