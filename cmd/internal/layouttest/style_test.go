package layouttest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines     = 500
	maxFunctionLines = 70
)

// leftovers are package names that say nothing about what is inside.
var leftovers = []string{"common", "helpers", "lib", "misc", "mocks", "shared", "types", "util", "utils"}

// source is one parsed Go file.
type source struct {
	path  string // from the root
	lines int
	file  *ast.File
	set   *token.FileSet
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// at names a place: storage/shard.go:42.
func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.set.Position(n.Pos()).Line)
}

// sources parses every Go file that a person wrote.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	top := root(t)
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != top && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, content, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(file) {
			relative, _ := filepath.Rel(top, path)
			all = append(all, source{filepath.ToSlash(relative), bytes.Count(content, []byte("\n")), file, set})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFilesAndFunctionsFitAScreen(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d: one mechanism a file", s.path, s.lines, maxFileLines)
		}
		if s.isTest() {
			continue // tables of cases are long and flat
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			lines := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1
			if lines > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, more than %d", s.at(f), f.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

func TestPackagesExplainThemselves(t *testing.T) {
	documented, named := map[string]bool{}, map[string]string{}
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		dir := filepath.Dir(s.path)
		named[dir] = s.file.Name.Name
		if s.file.Doc != nil {
			documented[dir] = true
		}
	}
	for dir, name := range named {
		if !documented[dir] {
			t.Errorf("package %s (%s) has no doc comment", name, dir)
		}
		if slices.Contains(leftovers, name) {
			t.Errorf("package %s (%s): a noun lives where its meaning is defined", name, dir)
		}
	}
}

// Panics are recovered only by the two wrappers of bbolt transactions, which a damaged page makes panic: that of shards
// and that of logs and votes. A panic anywhere else is a defect that must end the process.
func TestOnlyTheGuardsOfBboltRecover(t *testing.T) {
	places := map[string][]string{}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || s.isTest() {
				return true
			}
			if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "recover" {
				dir := filepath.Dir(s.path)
				places[dir] = append(places[dir], s.at(call))
			}
			return true
		})
	}
	for dir, found := range places {
		if (dir != "storage" && dir != "storage/raftlog") || len(found) > 1 {
			t.Errorf("recover is called in %v", found)
		}
	}
}

// carriers are the files with a struct that is one request waiting in a queue: it lives as long as its context does.
var carriers = []string{"rpc/raftmux/call.go"}

func TestNoContextInStructs(t *testing.T) {
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			structure, ok := n.(*ast.StructType)
			if !ok || s.isTest() || slices.Contains(carriers, s.path) {
				return true
			}
			for _, field := range structure.Fields.List {
				selector, ok := field.Type.(*ast.SelectorExpr)
				if !ok || selector.Sel.Name != "Context" {
					continue
				}
				if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "context" {
					t.Errorf("%s: a context is kept in a struct; pass it to the call", s.at(field))
				}
			}
			return true
		})
	}
}
