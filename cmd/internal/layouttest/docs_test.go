package layouttest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsNameWhatExists: the files that the documents name are there, and so are the targets of their links.
func TestDocumentsNameWhatExists(t *testing.T) {
	root := "../../.."
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CHANGELOG.md"} {
		documents = append(documents, filepath.Join(root, name))
	}
	path := regexp.MustCompile("`((?:cmd|storage|membership|raftgroup|snapshot|rpc|testdata|docs)/[A-Za-z0-9_./*-]+)`")
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range path.FindAllStringSubmatch(string(text), -1) {
			mustMatch(t, document, filepath.Join(root, m[1]))
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			mustMatch(t, document, filepath.Join(filepath.Dir(document), m[1]))
		}
	}
}

func mustMatch(t *testing.T, document, pattern string) {
	t.Helper()
	found, err := filepath.Glob(strings.TrimSuffix(pattern, "/"))
	if err != nil || len(found) == 0 {
		t.Errorf("%s names %s, which is not there (%v)", document, pattern, err)
	}
}
