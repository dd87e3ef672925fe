package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// TestErrorsAreDocumented holds docs/ERRORS.md against the codes, their HTTP status and the exit code that they end in.
func TestErrorsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/ERRORS.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\d+) \\| (\\d+) \\| ").FindAllStringSubmatch(string(text), -1) {
		if _, twice := documented[m[1]]; twice {
			t.Errorf("%s is documented twice", m[1])
		}
		documented[m[1]] = m[2] + " " + m[3]
	}
	codes := api.Codes()
	slices.Sort(codes)
	for _, code := range codes {
		want := fmt.Sprintf("%d %d", code.Status(), exitOfCode(code))
		if got := documented[string(code)]; got != want {
			t.Errorf("%s: documented as %q, is %q (HTTP status, exit code)", code, got, want)
		}
		delete(documented, string(code))
	}
	for code := range documented {
		t.Errorf("%s is documented and does not exist", code)
	}
}
