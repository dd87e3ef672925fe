package layouttest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pins are the versions that build together; go.mod says why.
var pins = map[string]string{
	"github.com/hashicorp/raft":           "v1.7.3",
	"github.com/hashicorp/raft-boltdb/v2": "v2.3.1",
	"github.com/hashicorp/memberlist":     "v0.6.0",
	"github.com/hashicorp/go-metrics":     "v0.6.0",
	"go.etcd.io/bbolt":                    "v1.5.0",
	"google.golang.org/grpc":              "v1.85.0",
	"github.com/urfave/cli/v2":            "v2.27.7",
}

func TestPinsHold(t *testing.T) {
	command := exec.Command("go", "list", "-mod=readonly", "-m", "-f", "{{.Path}} {{.Version}}{{if .Replace}} replaced{{end}}", "all")
	command.Dir = root(t)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[path] = version
		if strings.HasSuffix(version, "replaced") {
			t.Errorf("%s is replaced: a build from the module proxy would not see that", path)
		}
	}
	for path, want := range pins {
		if found[path] != want {
			t.Errorf("%s is %q, want %s: see the comment in go.mod", path, found[path], want)
		}
	}
}

// go.mod and go.sum are complete: nothing has to be fetched or changed to build the binary and every test.
func TestBuildsWithReadonlyModules(t *testing.T) {
	for _, arguments := range [][]string{
		{"build", "-mod=readonly", "-o", filepath.Join(t.TempDir(), "flotilla"), "./cmd/flotilla"},
		{"list", "-mod=readonly", "-deps", "-test", "./..."},
	} {
		command := exec.Command("go", arguments...)
		command.Dir = root(t)
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("go %v: %v\n%s", arguments, err, tail(out))
		}
	}
}

// tail keeps the end of a long output, where go says what is wrong.
func tail(out []byte) []byte {
	const kept = 2000
	return out[max(0, len(out)-kept):]
}
