package walgap

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the verdicts of testdata/golden/walgap anew: only with a new table")

// scenario is a golden file: two reports, and what is made of them. Verdict and reason are what operators and scripts
// read; a change of either is a change that users see.
type scenario struct {
	Name    string  `json:"name"`
	Leader  Leader  `json:"leader"`
	Target  Target  `json:"target"`
	Mode    Mode    `json:"mode"`
	Verdict Verdict `json:"verdict"`
}

const goldenDir = "../testdata/golden/walgap"

func TestGoldenScenarios(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(goldenDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	seen, copied := map[Row]bool{}, map[bool]bool{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var s scenario
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got := Judge(s.Leader, s.Target, Rates{}, s.Mode)
		if *update {
			s.Verdict = got
			writeScenario(t, path, s)
		}
		if got != s.Verdict {
			t.Errorf("%s (%s)\ngot  %+v\nwant %+v", path, s.Name, got, s.Verdict)
		}
		seen[got.Row], copied[got.FromRecord] = true, true
	}
	for r := range Row(Rows) {
		if !seen[r] {
			t.Errorf("no file shows the row %s", r)
		}
	}
	if !copied[true] {
		t.Error("no file shows a copy of the leader's record")
	}
}

func writeScenario(t *testing.T, path string, s scenario) {
	t.Helper()
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
