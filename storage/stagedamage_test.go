package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/flotilla-db/flotilla/storage/bytemap"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// stagedCopy is a staging file that is whole, just before its proof.
type stagedCopy struct {
	c       cutCopy
	sum     digest.ID // of the leader, with the key "key"
	file    []byte
	classes map[string][]int
	base    []byte // the shard's own file, where the stage holds the leaves that differ; nil: the stage becomes the shard
	baseOf  Options
}

// anew is a stage that stands alone, and patch one for a file in place.
func anew(t *testing.T) *stagedCopy {
	t.Helper()
	_, c := leaderCut(t)
	s := mustStage(t, stageOptions(t))
	c.fetch(t, s, c.manifest)
	return newStagedCopy(t, c, s)
}

func patch(t *testing.T) *stagedCopy {
	t.Helper()
	_, c := leaderCut(t)
	shard := target(t)
	a := delta(t, shard, c)
	if err := errors.Join(a.Base.Close(), shard.Close()); err != nil {
		t.Fatal(err)
	}
	base, err := os.ReadFile(shard.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	d := &stagedCopy{c: c, base: base, baseOf: shard.o}
	return d.finish(t, a.Stage)
}

func newStagedCopy(t *testing.T, c cutCopy, s *Stage) *stagedCopy {
	t.Helper()
	d := &stagedCopy{c: c}
	return d.finish(t, s)
}

func (d *stagedCopy) finish(t *testing.T, s *Stage) *stagedCopy {
	t.Helper()
	err := errors.Join(d.commit(s), s.Close())
	if err == nil {
		d.file, err = os.ReadFile(s.o.Path)
	}
	if err == nil {
		d.classes, err = bytemap.Of(d.file)
	}
	if err == nil {
		d.sum, err = d.c.view.Prove(t.Context(), []byte("key"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// commit is what a job does with a stage that has all leaves.
func (d *stagedCopy) commit(s *Stage) error {
	if d.base != nil {
		return s.Commit()
	}
	return s.Seal(testIdentity, d.c.state, d.c.manifest)
}

// openStageAnew opens a stage, or makes it where it cannot be opened, as a job does.
func openStageAnew(o StageOptions) (s *Stage, made bool, err error) {
	s, err = OpenStage(o)
	if made = errors.Is(err, ErrDamaged) || errors.Is(err, ErrIdentity) || errors.Is(err, ErrInUse); made {
		if err = RemoveStage(o.Path); err == nil {
			s, err = OpenStage(o)
		}
	}
	return s, made, err
}

// What became of damage.
const (
	nothing  = "nothing"              // the proof held: where it lies nobody reads, or it was written anew
	fetched  = "fetched again"        // the stage was made anew; or the proof failed, and the leaves were dropped
	refused  = "refused when opened"  // by who opens the new shard: it goes to quarantine
	listed   = "found when inspected" // in the new shard: in what is no leaf
	notTaken = "not taken over"       // by the shard, which is as it was
)

// TestDamageOfAStagedFile: a byte of a staging file is flipped before the proof, in every class of bytes, under the open file
// and while nobody has it open. What a job does then, in as many attempts as it has, ends with the leaves of the leader, or
// with a file that is found to be damaged: never with other leaves.
func TestDamageOfAStagedFile(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for kind, d := range map[string]*stagedCopy{"a file of its own": anew(t), "in place": patch(t)} {
		ends := make(map[string]int)
		for _, class := range slices.Sorted(maps.Keys(d.classes)) {
			for n := range rounds(4) {
				offsets := d.classes[class]
				at, flip, open := offsets[random.IntN(len(offsets))], byte(1<<random.IntN(8)), n%2 == 0
				what := fmt.Sprintf("%s, %s: byte %d ^ %#x, open %v", kind, class, at, flip, open)
				end := d.try(t, what, at, flip, open)
				ends[end]++
				if n == 0 || end != nothing {
					t.Log(what, "->", end)
				}
				if strings.HasPrefix(class, "block ") && end != fetched {
					t.Errorf("%s: %s", what, end)
				}
			}
		}
		t.Log(kind, ends)
		if ends[fetched] == 0 || ends[nothing] == 0 {
			t.Errorf("%s: too tame to show anything: %v", kind, ends)
		}
	}
}

// try damages a copy of the files and does what a job would.
func (d *stagedCopy) try(t *testing.T, what string, at int, flip byte, open bool) string {
	t.Helper()
	dir := t.TempDir()
	o := StageOptions{Path: filepath.Join(dir, "stage.db"), Identity: testIdentity, Window: testWindow, InitialMmapSize: 4 << 20}
	damaged := slices.Clone(d.file)
	damaged[at] ^= flip
	first := d.file
	if !open {
		first = damaged
	}
	if err := os.WriteFile(o.Path, first, 0o600); err != nil {
		t.Fatal(err)
	}
	s, made, err := openStageAnew(o)
	if err != nil {
		t.Fatalf("%s: open: %v", what, err)
	}
	a := Assembly{Stage: s, Manifest: d.c.manifest}
	defer func() { _ = a.Stage.Close() }()
	if open {
		writeOver(t, o.Path, int64(at), damaged[at:at+1])
	}
	shard := Options{Path: filepath.Join(dir, "shard.db"), Identity: testIdentity, Window: testWindow, InitialMmapSize: 4 << 20}
	var base *Shard
	if d.base != nil {
		if err := os.WriteFile(shard.Path, d.base, 0o600); err != nil {
			t.Fatal(err)
		}
		old := shard
		old.Identity = d.baseOf.Identity
		base = mustOpen(t, old)
		a.Base = look(t, base)
	}
	end := nothing
	if made {
		end = fetched
	}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		err := d.attempt(t, a)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrStaging) && !errors.Is(err, errOtherSum) {
			t.Errorf("%s: %v", what, err)
		}
		if end = fetched; attempt == attempts {
			t.Fatalf("%s: no attempt ended well, the last: %v", what, err)
		}
		_ = a.Stage.Close()
		if s, _, err = openStageAnew(o); err != nil {
			t.Fatalf("%s: open again: %v", what, err)
		}
		a.Stage = s
	}
	if base != nil {
		if err := errors.Join(a.Base.Close(), base.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return d.install(t, what, s, shard, end)
}

var errOtherSum = errors.New("the sums differ")

// attempt fetches what is missing and proves it. Where that fails, what is damaged is dropped.
func (d *stagedCopy) attempt(t *testing.T, a Assembly) error {
	t.Helper()
	missing, err := a.Missing(t.Context())
	if err == nil {
		d.c.fetch(t, a.Stage, missing)
		err = d.commit(a.Stage)
	}
	if err != nil {
		return err
	}
	sum, err := a.Prove(t.Context(), []byte("key"))
	switch {
	case err == nil && sum == d.sum:
		return nil
	case err == nil:
		err = errOtherSum
	case !errors.Is(err, ErrDamaged):
		return err
	}
	bad, damaged := a.Damaged(t.Context())
	if damaged == nil && len(bad) == 0 {
		t.Error("a proof failed over leaves that are all right")
	}
	return errors.Join(err, damaged, a.Stage.Drop(bad...), a.Stage.Commit())
}

// install makes a shard of what was proven, and looks at all of it.
func (d *stagedCopy) install(t *testing.T, what string, s *Stage, o Options, end string) string {
	t.Helper()
	var err error
	if d.base != nil {
		err = ApplyStage(o.Path, s, testIdentity, d.c.state, d.c.manifest)
	} else if err = errors.Join(d.commit(s), s.Close()); err == nil {
		err = os.Rename(s.o.Path, o.Path)
	}
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrStaging) {
			t.Errorf("%s: install: %v", what, err)
		}
		if d.base != nil {
			d.untouched(t, what, o)
		}
		return notTaken
	}
	shard, err := OpenShard(o)
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: open the shard: %v", what, err)
		}
		return refused
	}
	defer shard.Close()
	r := inspect(t, shard)
	bad := make(map[digest.Leaf]bool)
	for _, b := range r.Bad {
		bad[b.Leaf] = true
	}
	if r.Structure == nil && !slices.Equal(slices.DeleteFunc(slices.Clone(d.c.manifest), func(e digest.Entry) bool { return bad[e.Leaf] }), r.Entries) {
		t.Errorf("%s: other leaves were installed", what)
	}
	if len(r.Bad) > 0 {
		t.Errorf("%s: leaves were installed that fail their checksums: %v", what, r.Bad)
	}
	if r.Structure != nil || len(r.Digests) > 0 {
		return listed
	}
	v := look(t, shard)
	defer v.Close()
	if state, err := v.State(); err != nil || string(state) != string(d.c.state) {
		t.Errorf("%s: state %x, %v", what, state, err)
	}
	if root, _, err := v.ReadRoot(context.Background()); err != nil || root != d.c.root {
		t.Errorf("%s: root %v, %v", what, root, err)
	}
	return end
}

// untouched makes sure that a shard into which nothing was put is what it was.
func (d *stagedCopy) untouched(t *testing.T, what string, o Options) {
	t.Helper()
	o.Identity = d.baseOf.Identity
	shard := mustOpen(t, o)
	if r := inspect(t, shard); r.Structure != nil || len(r.Bad) > 0 {
		t.Errorf("%s: the shard was harmed: %+v", what, r)
	}
	if err := shard.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStageThatCannotBeClosed: bbolt has panicked over it and keeps its lock. Another file takes its place.
func TestStageThatCannotBeClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the lock is waited for
		o := stageOptions(t)
		s := mustStage(t, o)
		if err := s.write("name", func(*headWrite) error { return nil }); err != nil {
			t.Fatal(err)
		}
		s.file.stuck.Store(true)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenStage(o); !errors.Is(err, ErrInUse) {
			t.Errorf("opened again: %v", err)
		}
		again, made, err := openStageAnew(o)
		if err != nil || !made {
			t.Fatalf("made anew: %v, %v", made, err)
		}
		s.file.stuck.Store(false)
		if err := errors.Join(s.file.close(), again.Close()); err != nil {
			t.Error(err)
		}
	})
}
