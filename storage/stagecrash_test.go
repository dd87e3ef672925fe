package storage

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// crashCase is a copy that can be carried out from wherever a crash left it, with nothing but files.
type crashCase struct {
	InPlace  bool
	State    []byte
	Manifest []digest.Entry
	Leaves   [][]byte // of the manifest
}

func newCrashCase(t *testing.T, c cutCopy, inPlace bool) crashCase {
	k := crashCase{InPlace: inPlace, State: c.state, Manifest: c.manifest}
	for _, e := range c.manifest {
		k.Leaves = append(k.Leaves, c.leaf(t, e.Leaf))
	}
	return k
}

func (k crashCase) open(dir string) (*Stage, error) {
	return OpenStage(StageOptions{Path: filepath.Join(dir, "stage.db"), Identity: testIdentity, Window: testWindow, InitialMmapSize: 8 << 20})
}

// run carries it out: it fetches what the stage lacks and the shard does not have, commits every few leaves, and installs.
// step is called after whatever may be the last thing that a process does.
func (k crashCase) run(dir string, step func(what string)) error {
	s, err := k.open(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	for i, e := range k.Manifest {
		if k.InPlace && i%4 > 0 {
			continue // the shard has it
		}
		if err := s.Put(k.Leaves[i], e); err != nil {
			return err
		}
		if i%3 == 0 {
			if err := s.Commit(); err != nil {
				return err
			}
		}
		step("put")
	}
	if err := s.Commit(); err != nil {
		return err
	}
	step("complete")
	if k.InPlace {
		if err := ApplyStage(filepath.Join(dir, "shard.db"), s, testIdentity, k.State, k.Manifest); err != nil {
			return err
		}
		step("applied")
		return nil
	}
	if err := s.Seal(testIdentity, k.State, k.Manifest); err != nil {
		return err
	}
	step("sealed")
	return nil
}

// crashBase is a shard of another lineage that has three quarters of the cut.
func crashBase(t *testing.T, dir string, k crashCase, c cutCopy) {
	t.Helper()
	s, err := k.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var kept []digest.Entry
	for i, e := range k.Manifest {
		if i%4 > 0 {
			kept = append(kept, e)
			if err := s.Put(k.Leaves[i], e); err != nil {
				t.Fatal(err)
			}
		}
	}
	old := testIdentity
	old.Lineage = "old"
	if err := s.Seal(old, c.state, kept); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "stage.db"), filepath.Join(dir, "shard.db")); err != nil {
		t.Fatal(err)
	}
}

// files is what a directory holds: what a killed process leaves behind.
type files map[string][]byte

func readFiles(t *testing.T, dir string) files {
	t.Helper()
	all := files{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if all[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	for name, b := range f {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledAtAnyStepOfACopy: the process is killed after each step, or in a commit between the pages and bbolt's meta
// page that makes them count; or before the stage got its name. Started again, it ends at the cut.
func TestKilledAtAnyStepOfACopy(t *testing.T) {
	_, c := leaderCut(t)
	for _, inPlace := range []bool{false, true} {
		t.Run(fmt.Sprint("in place ", inPlace), func(t *testing.T) {
			k, dir := newCrashCase(t, c, inPlace), t.TempDir()
			crashBase(t, dir, k, c)
			left := map[string]files{}
			before, n := readFiles(t, dir), 0
			err := k.run(dir, func(what string) {
				n++
				after := readFiles(t, dir)
				if maps.EqualFunc(before, after, bytes.Equal) {
					return // nothing was committed
				}
				left[fmt.Sprint(n, " ", what)] = after
				torn := files{}
				for name, b := range after {
					torn[name] = b
					if old := before[name]; old != nil && !bytes.Equal(old, b) {
						torn[name] = append(bytes.Clone(old[:2*os.Getpagesize()]), b[2*os.Getpagesize():]...)
					}
					if name == "stage.db" && before[name] == nil {
						delete(torn, name)
						torn[name+unbornSuffix] = b
					}
				}
				if !maps.EqualFunc(torn, after, bytes.Equal) {
					left[fmt.Sprint(n, " torn before ", what)] = torn
				}
				before = after
			})
			if err != nil {
				t.Fatal(err)
			}
			torn := 0
			for what, f := range left {
				if bytes.Contains([]byte(what), []byte("torn")) {
					torn++
				}
				dir := t.TempDir()
				f.write(t, dir)
				if err := k.run(dir, func(string) {}); err != nil {
					t.Fatalf("killed at %s: %v", what, err)
				}
				k.check(t, dir, c)
			}
			if torn < 4 || len(left) < 8 {
				t.Fatalf("%d of %d crashes lie within a commit", torn, len(left))
			}
		})
	}
}

// check opens what came out of it.
func (k crashCase) check(t *testing.T, dir string, c cutCopy) {
	t.Helper()
	o := testOptions(t)
	if o.Path = filepath.Join(dir, "shard.db"); !k.InPlace {
		o.Path = filepath.Join(dir, "stage.db")
	}
	s := mustOpen(t, o)
	checkInstalled(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKilledProcessesFinishACopy kills real processes, at any moment after a random step, until one comes through.
func TestKilledProcessesFinishACopy(t *testing.T) {
	if dir := os.Getenv("STORAGE_CRASH_DIR"); dir != "" {
		crashChild(t, dir)
		return
	}
	_, c := leaderCut(t)
	random := rand.New(rand.NewPCG(3, 4))
	for _, inPlace := range []bool{false, true} {
		k, dir := newCrashCase(t, c, inPlace), t.TempDir()
		crashBase(t, dir, k, c)
		f, err := os.Create(filepath.Join(dir, "case"))
		if err != nil {
			t.Fatal(err)
		}
		if err := gob.NewEncoder(f).Encode(k); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
		for kills, done := 0, false; !done; kills++ {
			after := random.IntN(len(k.Manifest))
			if kills == 6 {
				after = 1 << 30
			}
			done = killAfter(t, dir, after)
		}
		k.check(t, dir, c)
	}
}

// killAfter runs a process and kills it after it has said so many steps; it reports whether the process came to its end.
func killAfter(t *testing.T, dir string, steps int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcessesFinishACopy$", "-test.v")
	cmd.Env = append(os.Environ(), "STORAGE_CRASH_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen, killed := 0, false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if bytes.Contains(lines.Bytes(), []byte("step")) {
			if seen++; seen == steps {
				_ = cmd.Process.Kill()
				killed = true
			}
		}
	}
	if err := cmd.Wait(); err != nil && !killed {
		t.Fatalf("after %d steps: %v", seen, err)
	} else if err == nil {
		return true
	}
	return false
}

func crashChild(t *testing.T, dir string) {
	f, err := os.Open(filepath.Join(dir, "case"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var k crashCase
	if err := gob.NewDecoder(f).Decode(&k); err != nil {
		t.Fatal(err)
	}
	if err := k.run(dir, func(what string) { fmt.Println("step", what) }); err != nil {
		t.Fatal(err)
	}
}
