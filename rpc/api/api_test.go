package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTimesIn(t *testing.T) {
	good := map[string]int64{
		"1970-01-01T00:00:00Z":                0,
		"1970-01-01T00:00:00.000000001Z":      1,
		"1970-01-01T01:00:00.500+01:00":       500_000_000,
		"1969-12-31T23:59:59.999999999-00:00": -1,
		"0":                                   0,
		"-7":                                  -7,
		"1767323045000000000":                 1767323045000000000,
	}
	for text, want := range good {
		if got, err := ParseTime(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "now", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z", "1970-01-01T00:00:00.0000000001Z", "1970-01-01T00:00:00,5Z",
		"3000-01-01T00:00:00Z", "1600-01-01T00:00:00Z", "99999999999999999999", "-9223372036854775808", "1.5", "1e9"} {
		if got, err := ParseTime(text); !errors.Is(err, ErrTime) {
			t.Errorf("%q was read as %d, %v", text, got, err)
		}
	}
}

func TestTimesOut(t *testing.T) {
	for ns, want := range map[int64]string{0: "1970-01-01T00:00:00Z", 1: "1970-01-01T00:00:00.000000001Z", 500_000_000: "1970-01-01T00:00:00.5Z"} {
		if got := FormatTime(ns); got != want {
			t.Errorf("%d: %s", ns, got)
		}
	}
	local := time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("x", 3600))
	b, err := json.Marshal([]Time{{}, At(local)})
	if err != nil || string(b) != `[null,"2026-01-02T02:04:05.0000006Z"]` {
		t.Errorf("%s %v", b, err)
	}
	var back []Time
	if err := json.Unmarshal(b, &back); err != nil || !back[0].IsZero() || !back[1].Equal(local) {
		t.Errorf("%v %v", back, err)
	}
}

func FuzzParseTime(f *testing.F) {
	f.Add("2026-01-01T00:00:00.123456789+01:30")
	f.Add("-9223372036854775807")
	f.Fuzz(func(t *testing.T, s string) {
		ns, err := ParseTime(s)
		if err != nil {
			return
		}
		if again, err := ParseTime(FormatTime(ns)); err != nil || again != ns {
			t.Fatalf("%q: %d, then %d %v", s, ns, again, err)
		}
	})
}

func TestEveryCodeHasAStatusAndATitle(t *testing.T) {
	for _, c := range Codes() {
		e := E(c, "hint", "detail %d", 1)
		if e.Status < 400 || e.Status > 599 || e.Title == "" || e.Code != c || !strings.HasPrefix(e.Type, "urn:flotilla:error:") {
			t.Errorf("%s: %+v", c, e.Problem)
		}
		if c.Retryable() && c.Unknown() {
			t.Errorf("%s is both retryable and unknown", c)
		}
	}
	if CodeOf(fmt.Errorf("wrapped: %w", E(Busy, "", "x"))) != Busy || CodeOf(errors.New("x")) != Internal || CodeOf(nil) != "" {
		t.Error("codes of wrapped and foreign errors")
	}
}

// The golden file shows each object with no value set: every field is always
// there, null, 0, "" or [], never left out.
func TestEveryFieldIsAlwaysThere(t *testing.T) {
	objects := []any{
		Group{ReplicaNodes: []string{}, Replicas: []Replica{}}, Replica{}, Node{}, Job{Sources: []JobSource{}},
		VerifyResult{Findings: []Finding{}, Unchecked: []Unchecked{}}, Finding{Devices: []string{}}, Unchecked{}, Event{}, DrillResult{Findings: []Finding{}},
		GroupList{Groups: []Group{}}, NodeList{Nodes: []Node{}}, JobList{Jobs: []Job{}}, E(NotApplied, "", "").Problem,
	}
	var out strings.Builder
	for _, o := range objects {
		b, err := json.MarshalIndent(o, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %s\n", reflect.TypeOf(o).Name(), b)
	}
	const path = "testdata/objects.golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("objects changed (UPDATE_GOLDEN=1 rewrites %s):\n%s", path, out.String())
	}
}

func TestExitCodesOfVerify(t *testing.T) {
	for want, r := range map[int]VerifyResult{0: {GroupsTotal: 2, GroupsEqual: 2}, 5: {GroupsDamaged: 1, GroupsUnchecked: 1}, 6: {GroupsUnchecked: 1}} {
		if got := r.ExitCode(); got != want {
			t.Errorf("%+v: %d", r, got)
		}
	}
	r := VerifyResult{GroupsDamaged: 1, GroupsRepaired: 1}
	if r.ExitCode() != 0 {
		t.Error("all that was damaged is repaired")
	}
}
