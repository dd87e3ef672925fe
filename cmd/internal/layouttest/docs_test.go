package layouttest

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	path := regexp.MustCompile("`((?:cmd|storage|membership|raftgroup|snapshot|rpc|walgap|testdata|docs)/[A-Za-z0-9_./*-]+)`")
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

// maxPage is how long ARCHITECTURE.md may be: one page.
const maxPage = 82

var (
	goFile  = regexp.MustCompile("`((?:[a-z0-9_*]+/)*[a-z0-9_*]+\\.go)\\b")
	goName  = regexp.MustCompile("`([A-Za-z]+\\.[A-Z][A-Za-z]*)(?:\\(\\))?`")
	inAMap  = regexp.MustCompile(`(?:[a-z]+/)+`)
	goInMap = regexp.MustCompile(`[a-z_]+\.go\b`)
)

// tooling are packages that only tests of their neighbours need: the map may leave them out.
var tooling = []string{"membership/gossip/gossiptest", "rpc/internal/fakecluster", "storage/bytemap", "testdata/weather"}

// TestArchitectureIsOnePageAndTrue: each file, each function and each package that it names is there, in the documents
// behind it too, and its map shows every package.
func TestArchitectureIsOnePageAndTrue(t *testing.T) {
	all := sources(t)
	page := textOf(t, "ARCHITECTURE.md")
	if n := strings.Count(page, "\n"); n > maxPage {
		t.Errorf("ARCHITECTURE.md has %d lines, more than %d: detail lives in docs and package comments", n, maxPage)
	}
	exported := exportedNames(all)
	for _, document := range []string{"ARCHITECTURE.md", "docs/RESYNC.md", "docs/ANTIENTROPY.md", "docs/FORMATS.md"} {
		text := textOf(t, document)
		for _, m := range goFile.FindAllStringSubmatch(text, -1) {
			mustHaveFile(t, all, document, m[1])
		}
		for _, m := range goName.FindAllStringSubmatch(text, -1) {
			if !exported[m[1]] {
				t.Errorf("%s names %s, which is not there", document, m[1])
			}
		}
	}
	_, rest, _ := strings.Cut(page, "```\n")
	chart, _, drawn := strings.Cut(rest, "```\n")
	if !drawn {
		t.Fatal("ARCHITECTURE.md has no map")
	}
	for _, name := range goInMap.FindAllString(chart, -1) {
		mustHaveFile(t, all, "the map", name)
	}
	shown, known := inAMap.FindAllString(chart, -1), []string{}
	for _, s := range all {
		known = append(known, filepath.ToSlash(filepath.Dir(s.path)))
	}
	slices.Sort(known)
	for _, dir := range slices.Compact(known) {
		if !slices.Contains(tooling, dir) && !slices.ContainsFunc(shown, func(n string) bool { return endsWith(dir, n) }) {
			t.Errorf("the map of ARCHITECTURE.md does not show package %s", dir)
		}
	}
	for _, name := range shown {
		if !slices.ContainsFunc(known, func(dir string) bool { return endsWith(dir, name) }) {
			t.Errorf("the map of ARCHITECTURE.md shows %s, which is not there", name)
		}
	}
}

func textOf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// endsWith reports whether a package's path ends with the folders of a name: "httpapi/", "cmd/internal/node/".
func endsWith(dir, name string) bool { return strings.HasSuffix("/"+dir+"/", "/"+name) }

func mustHaveFile(t *testing.T, all []source, document, pattern string) {
	t.Helper()
	if !slices.ContainsFunc(all, func(s source) bool {
		path := s.path
		if !strings.Contains(pattern, "/") {
			path = filepath.Base(path)
		}
		matches, _ := filepath.Match(pattern, path)
		return matches
	}) {
		t.Errorf("%s names %s, which is not there", document, pattern)
	}
}

// exportedNames are the exported functions and types as package.Name, and the methods as Type.Name.
func exportedNames(all []source) map[string]bool {
	names := map[string]bool{}
	for _, s := range all {
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names[s.file.Name.Name+"."+d.Name.Name] = true
					continue
				}
				receiver := d.Recv.List[0].Type
				if pointer, ok := receiver.(*ast.StarExpr); ok {
					receiver = pointer.X
				}
				if generic, ok := receiver.(*ast.IndexExpr); ok {
					receiver = generic.X
				}
				if name, ok := receiver.(*ast.Ident); ok {
					names[name.Name+"."+d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if of, ok := spec.(*ast.TypeSpec); ok {
						names[s.file.Name.Name+"."+of.Name.Name] = true
					}
				}
			}
		}
	}
	return names
}
