package httpapi

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRoutesAreDocumented holds docs/HTTP.md against the routes: none is missing there, and none is there that does not
// exist.
func TestRoutesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/HTTP.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+) (\\S+)` \\|").FindAllStringSubmatch(string(text), -1) {
		path := strings.Replace(m[2], "{c}", "/v1/databases/{db}/collections/{collection}", 1)
		documented[m[1]+" "+path] = true
	}
	for path, methods := range (&Handler{}).routes() {
		for method := range methods {
			if !documented[method+" "+path] {
				t.Errorf("%s %s is not documented", method, path)
			}
			delete(documented, method+" "+path)
		}
	}
	for route := range documented {
		t.Errorf("%s is documented and does not exist", route)
	}
	for _, name := range queryNames {
		if !regexp.MustCompile("(?m)^\\| .*`" + name + "`.* \\|").Match(text) {
			t.Errorf("parameter %s of queries is not documented", name)
		}
	}
	if !slices.Contains(strings.Fields(unknownRouteHint), "docs/HTTP.md") {
		t.Error("the hint of an unknown route names no page")
	}
}
