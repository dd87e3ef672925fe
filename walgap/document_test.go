package walgap

import (
	"os"
	"strings"
	"testing"
)

// TestDocumentHasEveryRow: docs/RESYNC.md explains each condition that a verdict may come from.
func TestDocumentHasEveryRow(t *testing.T) {
	text, err := os.ReadFile("../docs/RESYNC.md")
	if err != nil {
		t.Fatal(err)
	}
	for r := range Row(Rows) {
		if !strings.Contains(string(text), "| `"+r.String()+"` |") {
			t.Errorf("the document lacks row %s", r)
		}
	}
}
