package crashtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// TestMain removes the binaries that the tests have built.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "flotilla-crashtest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries.dir = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// binaries are built when a test first asks for them, one a build tag.
var binaries struct {
	dir string

	mu    sync.Mutex
	built map[string]error // guarded by mu; by tag
}

// binary gives the path of flotilla, built from this source with a build tag ("" for none).
func binary(t *testing.T, tag string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	binaries.mu.Lock()
	defer binaries.mu.Unlock()
	path := filepath.Join(binaries.dir, "flotilla-"+tag)
	err, done := binaries.built[tag]
	if !done {
		c := exec.Command("go", "build", "-mod=readonly", "-tags", tag, "-o", path, "github.com/flotilla-db/flotilla/cmd/flotilla")
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out []byte
		if out, err = c.CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		if binaries.built == nil {
			binaries.built = map[string]error{}
		}
		binaries.built[tag] = err
	}
	if err != nil {
		t.Fatalf("build flotilla: %v", err)
	}
	return path
}

// rounds multiplies a number of rounds for make soak.
func rounds(n int) int {
	if times, err := strconv.Atoi(os.Getenv("SOAK")); err == nil && times > 1 {
		return n * times
	}
	return n
}
