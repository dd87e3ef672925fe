package layouttest

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/flotilla-db/flotilla"

// mayImport is the import direction: the packages of ours that each package may import. Imports only point down.
// A row ending in "/..." holds for a subtree; the longest matching row counts. "*" is everything but cmd/flotilla.
var mayImport = map[string][]string{
	"internal/pause":      {},
	"internal/raftfuture": {},

	"storage":         {"storage/blocks", "storage/digest"},
	"storage/blocks":  {},
	"storage/bytemap": {},
	"storage/digest":  {"storage/blocks"},
	"storage/raftlog": {},

	"membership":            {},
	"membership/placement":  {"membership"},
	"membership/gossip":     {"membership"},
	"membership/gossip/...": {"membership"},
	"membership/directory":  {"internal/raftfuture", "membership", "membership/placement", "storage/raftlog"},

	"snapshot":          {"storage", "storage/blocks", "storage/digest"},
	"snapshot/transfer": {"snapshot", "storage", "storage/blocks", "storage/digest"},

	"raftgroup":     {"internal/pause", "internal/raftfuture", "storage", "storage/blocks", "storage/digest", "storage/raftlog", "snapshot", "membership"},
	"raftgroup/...": {"internal/pause", "raftgroup", "storage", "storage/blocks", "storage/digest", "storage/raftlog", "snapshot", "membership"},

	"walgap":             {},
	"walgap/antientropy": {"internal/pause", "storage/digest"},
	"walgap/...":         {"internal/pause", "walgap", "storage", "storage/blocks", "storage/digest", "snapshot", "snapshot/transfer", "membership"},

	"rpc/api":          {},
	"rpc/pb":           {"storage/blocks", "rpc/api"},
	"rpc/lineproto":    {"storage", "storage/blocks", "rpc/api"},
	"rpc/raftmux":      {"membership"},
	"rpc/leafstream":   {"membership", "storage/digest", "snapshot/transfer"},
	"rpc/gateway":      {"internal/pause", "storage", "storage/blocks", "storage/digest", "walgap/antientropy", "membership", "rpc/api", "rpc/pb"},
	"rpc/server":       {"storage", "storage/blocks", "membership", "rpc/api", "rpc/pb", "rpc/gateway", "rpc/lineproto"},
	"rpc/httpapi":      {"storage", "storage/blocks", "membership", "rpc/api", "rpc/pb", "rpc/gateway", "rpc/lineproto"},
	"rpc/metrics":      {"rpc/api", "rpc/gateway"},
	"rpc/client":       {"internal/pause", "storage", "storage/blocks", "rpc/api", "rpc/pb"},
	"rpc/internal/...": {"storage", "storage/blocks", "storage/digest", "walgap/antientropy", "membership", "rpc/api", "rpc/pb", "rpc/gateway", "rpc/server"},

	"cmd/internal/node/config": {},
	"cmd/internal/node/syncing": {"cmd/internal/node/config", "storage", "storage/digest", "raftgroup", "snapshot/transfer", "walgap",
		"walgap/resync", "walgap/antientropy", "membership", "membership/directory", "rpc/api", "rpc/gateway", "rpc/leafstream", "rpc/raftmux"},
	"cmd/internal/node/checking": {"cmd/internal/node/config", "internal/pause", "storage", "storage/raftlog", "raftgroup", "snapshot/transfer",
		"walgap/antientropy", "rpc/api", "rpc/gateway"},
	"cmd/internal/version":   {},
	"cmd/internal/apiclient": {"rpc/api"},
	"cmd/internal/...":       {"*"},
	"cmd/flotilla":           {"*"},
}

// onlyUnder says where a library may be imported. Tests of other packages may use them too.
var onlyUnder = map[string][]string{
	"github.com/hashicorp/raft":       {"raftgroup", "snapshot", "storage/raftlog", "rpc/raftmux", "membership/directory", "internal/raftfuture"},
	"github.com/hashicorp/memberlist": {"membership/gossip"},
	"google.golang.org/grpc":          {"rpc"},
	"github.com/urfave/cli":           {"cmd/flotilla"},
	"github.com/prometheus":           {"rpc/metrics"},
}

// goPackage is what `go list -json` says of one package.
type goPackage struct {
	ImportPath string
	Dir        string
	Imports    []string
}

// packages lists every package of the module for each platform family, so that files behind build tags count too.
func packages(t *testing.T) []goPackage {
	t.Helper()
	var all []goPackage
	for _, goos := range []string{"linux", "windows"} {
		command := exec.Command("go", "list", "-e", "-mod=readonly", "-json=ImportPath,Dir,Imports", "./...")
		command.Dir = root(t)
		command.Env = append(os.Environ(), "GOOS="+goos)
		out, err := command.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		decoder := json.NewDecoder(strings.NewReader(string(out)))
		for {
			var p goPackage
			if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("go list: %v", err)
			}
			all = append(all, p)
		}
	}
	return all
}

// root is the directory of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		allowed, known := ruleOf(from)
		if !known {
			t.Errorf("%s: a new package: say in mayImport what it may import", from)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module+"/")
			if ours && !permits(allowed, from, to) {
				t.Errorf("%s imports %s; it may import %v", from, to, allowed)
			}
			for library, homes := range onlyUnder {
				if within(imported, library) && !slices.ContainsFunc(homes, func(h string) bool { return within(from, h) }) {
					t.Errorf("%s imports %s, which only %v may", from, imported, homes)
				}
			}
		}
	}
}

func ruleOf(pkg string) (allowed []string, known bool) {
	if allowed, known = mayImport[pkg]; known {
		return allowed, true
	}
	for dir := filepath.Dir(pkg); dir != "."; dir = filepath.Dir(dir) {
		if allowed, known = mayImport[dir+"/..."]; known {
			return allowed, true
		}
	}
	return nil, false
}

// permits also lets the packages of one subtree row (raftgroup/failover, raftgroup/reconcile) see their own children.
func permits(allowed []string, from, to string) bool {
	if slices.Contains(allowed, "*") {
		return to != "cmd/flotilla"
	}
	return slices.Contains(allowed, to) || strings.HasPrefix(to, from+"/") && !exact(from)
}

func exact(pkg string) bool { _, ok := mayImport[pkg]; return ok }

// within reports whether path is tree or lies under it. Versions count as under: hashicorp/raft/v2 is hashicorp/raft,
// but hashicorp/raft-boltdb is not.
func within(path, tree string) bool { return path == tree || strings.HasPrefix(path, tree+"/") }
