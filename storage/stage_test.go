package storage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// leaderCut is a shard with several windows, before 1970 too, several slots and all kinds of values, and its cut.
func leaderCut(t testing.TB) (*Shard, cutCopy) {
	t.Helper()
	s := mustOpen(t, testOptions(t))
	for round := range 12 {
		apply(t, s, AppendPut(nil, leaderPoints(round)))
	}
	return s, copyOf(t, pinCut(t, s, "cut"))
}

func leaderPoints(round int) (points []Point) {
	for d := range 25 {
		p := point(fmt.Sprint("device-", d), int64(round-6)*4*int64(time.Second), "v", float64(round*d)/100, "n", round*d, "s", fmt.Sprint(d))
		if d%3 == 0 {
			p.Fields = append(p.Fields, Field{Name: "b", Value: blocks.Boolean(round%2 == 0)})
		}
		points = append(points, p)
	}
	return points
}

// install seals a stage and opens it as a shard.
func install(t testing.TB, s *Stage, c cutCopy) *Shard {
	t.Helper()
	if err := s.Seal(testIdentity, c.state, c.manifest); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o := testOptions(t)
	if err := os.Rename(s.o.Path, o.Path); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, o)
}

func TestWipedDiskGetsAFullCopy(t *testing.T) {
	_, c := leaderCut(t)
	stage := mustStage(t, stageOptions(t))
	a := Assembly{Stage: stage, Manifest: c.manifest}
	missing, err := a.Missing(t.Context())
	if err != nil || !slices.Equal(missing, c.manifest) || len(missing) < 30 {
		t.Fatalf("%d of %d leaves are missing, %v", len(missing), len(c.manifest), err)
	}
	if _, err := a.Prove(t.Context(), []byte("k")); !errors.Is(err, ErrIncomplete) {
		t.Fatalf("proof of an empty stage: %v", err)
	}
	slices.Reverse(missing) // newest windows first
	c.fetch(t, stage, missing)
	if got, err := stage.Leaves(); err != nil || !slices.Equal(got, c.manifest) {
		t.Fatalf("%v, %v", got, err)
	}
	total := int64(0)
	for _, e := range c.manifest {
		total += int64(e.Bytes)
	}
	if stage.Bytes() != total {
		t.Fatalf("%d bytes, want %d", stage.Bytes(), total)
	}
	c.prove(t, a)
	checkInstalled(t, install(t, stage, c), c)
}

func TestLyingSourceIsRefused(t *testing.T) {
	_, c := leaderCut(t)
	stage := mustStage(t, stageOptions(t))
	e, other := c.manifest[3], c.manifest[4]
	good := c.leaf(t, e.Leaf)
	longer := append(bytes.Clone(good), 0)
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	entry := func(change func(*digest.Entry)) digest.Entry { x := e; change(&x); return x }
	for what, lie := range map[string]struct {
		bytes []byte
		want  digest.Entry
	}{
		"nothing":       {nil, e},
		"another leaf":  {c.leaf(t, other.Leaf), e},
		"flipped bit":   {flipped, e},
		"too long":      {longer, e},
		"cut short":     {good[:len(good)-1], e},
		"other content": {good, entry(func(e *digest.Entry) { e.ID[0]++ })},
		"other points":  {good, entry(func(e *digest.Entry) { e.Points++ })},
		"other bytes":   {good, entry(func(e *digest.Entry) { e.Bytes++ })},
		"other slot":    {good, entry(func(e *digest.Entry) { e.Slot ^= 1 })},
	} {
		if err := stage.Put(lie.bytes, lie.want); !errors.Is(err, ErrWrongContent) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got, err := stage.Leaves(); err != nil || len(got) > 0 || stage.Bytes() != 0 {
		t.Fatalf("kept %v, %v", got, err)
	}
	if err := stage.Put(good, e); err != nil {
		t.Fatal(err)
	}
}

// leafOfParts makes leaf bytes of one series, and its right manifest entry, whether a shard may hold it or not.
func leafOfParts(t testing.TB, leaf digest.Leaf, version uint32, key []byte, times ...int64) ([]byte, digest.Entry) {
	t.Helper()
	var w leafBuffer
	h := digest.NewLeafWriter(&w, leaf, version)
	if err := h.Series(key); err != nil {
		t.Fatal(err)
	}
	for _, at := range times {
		var b blocks.Builder
		b.Append(at, []Field{{Name: "v", Value: blocks.Int(at)}})
		block, err := blocks.Encode(nil, b.Columns())
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Block(block); err != nil {
			t.Fatal(err)
		}
	}
	d, err := h.Sum()
	if err != nil {
		t.Fatal(err)
	}
	return w, digest.Entry{Leaf: leaf, LeafDigest: d}
}

// TestLeafThatNoShardMayHoldIsRefused: the content id is right, and yet the leaf would break the shard.
func TestLeafThatNoShardMayHoldIsRefused(t *testing.T) {
	stage := mustStage(t, stageOptions(t))
	key := Series{"db", "c", "d"}.Key()
	leaf := digest.Leaf{Window: -2, Slot: SlotOf(key)}
	lo := WindowStart(leaf.Window, int64(testWindow))
	long := Series{"db", "c", strings.Repeat("x", MaxDeviceName+1)}.Key()
	for what, l := range map[string]struct {
		slot    uint8
		version uint32
		key     []byte
		time    int64
	}{
		"series of another slot":   {leaf.Slot ^ 1, 1, key, lo},
		"key with a byte more":     {SlotOf(append(key, 0)), 1, append(key, 0), lo},
		"key without a device":     {SlotOf(key[:5]), 1, key[:5], lo},
		"empty name":               {SlotOf([]byte{0, 1, 'c', 1, 'd'}), 1, []byte{0, 1, 'c', 1, 'd'}, lo},
		"name too long":            {SlotOf(long), 1, long, lo},
		"time before the window":   {leaf.Slot, 1, key, lo - 1},
		"time behind the window":   {leaf.Slot, 1, key, lo + int64(testWindow)},
		"block format of tomorrow": {leaf.Slot, 2, key, lo},
	} {
		b, e := leafOfParts(t, digest.Leaf{Window: leaf.Window, Slot: l.slot}, l.version, l.key, l.time)
		if err := stage.Put(b, e); !errors.Is(err, ErrWrongContent) {
			t.Errorf("%s: %v", what, err)
		}
	}
	h := digest.NewLeafHasher(leaf, 1)
	d, err := h.Sum()
	if err != nil {
		t.Fatal(err)
	}
	var w leafBuffer
	_, _ = digest.NewLeafWriter(&w, leaf, 1).Sum()
	if err := stage.Put(w, digest.Entry{Leaf: leaf, LeafDigest: d}); !errors.Is(err, ErrWrongContent) {
		t.Errorf("leaf without points: %v", err)
	}
	b, e := leafOfParts(t, leaf, 1, key, lo, lo+1)
	if err := stage.Put(b, e); !errors.Is(err, ErrWrongContent) {
		t.Errorf("two blocks where the canonical cut gives one: %v", err)
	}
	b, e = leafOfParts(t, leaf, 1, key, lo+int64(testWindow)-1)
	if err := stage.Put(b, e); err != nil {
		t.Errorf("the leaf is meant to be good: %v", err)
	}
}

func TestStageGoesOnAfterARestart(t *testing.T) { synctest.Test(t, stageGoesOnAfterARestart) }

func stageGoesOnAfterARestart(t *testing.T) {
	_, c := leaderCut(t)
	o := stageOptions(t)
	stage := mustStage(t, o)
	half := len(c.manifest) / 2
	c.fetch(t, stage, c.manifest[:half])
	if err := stage.Commit(); err != nil {
		t.Fatal(err)
	}
	c.fetch(t, stage, c.manifest[half:]) // lost: never committed
	if err := stage.Close(); err != nil {
		t.Fatal(err)
	}
	if err := stage.Put(c.leaf(t, c.manifest[0].Leaf), c.manifest[half]); err == nil {
		t.Fatal("a closed stage takes leaves")
	}
	stage = mustStage(t, o)
	missing, err := Assembly{Stage: stage, Manifest: c.manifest}.Missing(t.Context())
	if err != nil || !slices.Equal(missing, c.manifest[half:]) {
		t.Fatalf("%d missing of %d, %v", len(missing), len(c.manifest), err)
	}
	c.fetch(t, stage, missing)
	checkInstalled(t, install(t, stage, c), c)
}

// TestSlowLinkLosesASecondAtMost: what came in over a link too slow to fill a commit is on disk all the same when the
// process dies.
func TestSlowLinkLosesASecondAtMost(t *testing.T) { synctest.Test(t, slowLinkLosesASecondAtMost) }

func slowLinkLosesASecondAtMost(t *testing.T) {
	_, c := leaderCut(t)
	o := stageOptions(t)
	stage := mustStage(t, o)
	const came = 5
	for i := range came {
		c.fetch(t, stage, c.manifest[i:i+1])
		time.Sleep(stageTxAge / 2)
	}
	if err := stage.Close(); err != nil { // as a crash does: without a commit
		t.Fatal(err)
	}
	stage = mustStage(t, o)
	if kept, err := stage.Leaves(); err != nil || len(kept) < came-2 {
		t.Fatalf("%d of %d leaves are kept, %v", len(kept), came, err)
	}
}

// TestNewCutKeepsWhatStillMatches: the copy begins, more is written, the job starts over with another cut: leaves that did
// not change stay, a sealed stage is a stage again, and what the new manifest lacks goes.
func TestNewCutKeepsWhatStillMatches(t *testing.T) {
	leader, c := leaderCut(t)
	o := stageOptions(t)
	stage := mustStage(t, o)
	c.fetch(t, stage, c.manifest)
	if err := stage.Seal(testIdentity, c.state, c.manifest); err != nil {
		t.Fatal(err)
	}
	apply(t, leader, AppendPut(nil, []Point{point("device-1", 0, "new", 1), point("another", 0, "new", 1)}))
	apply(t, leader, AppendDelete(nil, Delete{Series{"db", "c", "device-2"}, MinTime, NoEnd}))
	apply(t, leader, AppendRetain(nil, "db", -1))
	next := copyOf(t, pinCut(t, leader, "next"))
	for _, reopened := range []bool{false, true} {
		if reopened {
			if err := stage.Close(); err != nil {
				t.Fatal(err)
			}
			stage = mustStage(t, o)
		}
		missing, err := Assembly{Stage: stage, Manifest: next.manifest}.Missing(t.Context())
		if err != nil || len(missing) == 0 || len(missing) > len(next.manifest)/2 {
			t.Fatalf("%d missing of %d, %v", len(missing), len(next.manifest), err)
		}
		if err := stage.Seal(testIdentity, next.state, next.manifest); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("seal without them: %v", err)
		}
	}
	missing, _ := Assembly{Stage: stage, Manifest: next.manifest}.Missing(t.Context())
	next.fetch(t, stage, missing[:1])
	if err := errors.Join(stage.Commit(), stage.Close()); err != nil {
		t.Fatal(err)
	}
	shard := testOptions(t)
	shard.Path = o.Path
	if _, err := OpenShard(shard); !errors.Is(err, ErrIdentity) {
		t.Fatalf("half of another cut opened as a shard: %v", err)
	}
	stage = mustStage(t, o)
	next.fetch(t, stage, missing)
	next.prove(t, Assembly{Stage: stage, Manifest: next.manifest})
	checkInstalled(t, install(t, stage, next), next)
}

func TestDroppedLeavesLeaveNoTrace(t *testing.T) {
	_, c := leaderCut(t)
	o := stageOptions(t)
	stage := mustStage(t, o)
	c.fetch(t, stage, c.manifest[:20])
	if err := stage.Commit(); err != nil {
		t.Fatal(err)
	}
	c.fetch(t, stage, c.manifest[20:30])
	if err := stage.Drop(c.manifest[3].Leaf, c.manifest[25].Leaf, digest.Leaf{Window: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	want := append(slices.Concat(c.manifest[:3], c.manifest[4:25]), c.manifest[26:30]...)
	if got, err := stage.Leaves(); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%d leaves, %v, want %d", len(got), err, len(want))
	}
	c.fetch(t, stage, c.manifest)
	checkInstalled(t, install(t, stage, c), c)
}

func TestStageIsFilledByManyAtOnce(t *testing.T) {
	_, c := leaderCut(t)
	stage := mustStage(t, stageOptions(t))
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i, e := range c.manifest {
				if i%3 == worker || worker == 3 { // most leaves come twice
					b, err := c.view.LeafBytes(t.Context(), e.Leaf)
					if err == nil {
						err = stage.Put(b, e)
					}
					if err == nil && i%10 == 0 {
						err = stage.Commit()
					}
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	checkInstalled(t, install(t, stage, c), c)
}

func TestStageOfSomethingElse(t *testing.T) {
	o := stageOptions(t)
	_, c := leaderCut(t)
	stage := mustStage(t, o)
	c.fetch(t, stage, c.manifest[:1])
	if err := stage.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := stage.Close(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*StageOptions){
		"cluster": func(o *StageOptions) { o.Identity.ClusterID = "x" },
		"group":   func(o *StageOptions) { o.Identity.Group = 1 },
		"window":  func(o *StageOptions) { o.Window = time.Hour },
	} {
		other := o
		change(&other)
		if _, err := OpenStage(other); !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: %v", what, err)
		}
	}
	shard := testOptions(t)
	shard.Path = o.Path
	if _, err := OpenShard(shard); !errors.Is(err, ErrIdentity) {
		t.Errorf("a stage opened as a shard: %v", err)
	}
	o.Identity.Lineage = "after a restore"
	stage = mustStage(t, o)
	if got, err := stage.Leaves(); err != nil || len(got) != 1 {
		t.Fatalf("another lineage: %v, %v", got, err)
	}
	if err := stage.Seal(Identity{"x", 7, "l"}, c.state, c.manifest[:1]); !errors.Is(err, ErrIdentity) {
		t.Errorf("sealed for another cluster: %v", err)
	}
	bad := bytes.Clone(c.state)
	bad[3] ^= 1
	if err := stage.Seal(testIdentity, bad, c.manifest[:1]); !errors.Is(err, ErrState) {
		t.Errorf("sealed with a bad state: %v", err)
	}
}

func TestRemovedStageLeavesNothing(t *testing.T) {
	o := stageOptions(t)
	_, c := leaderCut(t)
	for _, committed := range []bool{false, true} {
		stage := mustStage(t, o)
		c.fetch(t, stage, c.manifest[:2])
		if committed {
			if err := stage.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		if err := stage.Close(); err != nil {
			t.Fatal(err)
		}
		if err := RemoveStage(o.Path); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(strings.TrimSuffix(o.Path, "/stage.db")); err != nil || len(left) > 0 {
			t.Fatalf("left: %v, %v", left, err)
		}
	}
	if err := RemoveStage(o.Path); err != nil {
		t.Fatalf("removed twice: %v", err)
	}
}

// TestFullDiskEndsTheStageAndNothingElse: the stage says so and stays usable up to its last commit; no shard is touched.
func TestFullDiskEndsTheStageAndNothingElse(t *testing.T) {
	leader, c := leaderCut(t)
	o := stageOptions(t)
	stage := mustStage(t, o)
	c.fetch(t, stage, c.manifest[:5])
	if err := stage.Commit(); err != nil {
		t.Fatal(err)
	}
	stage.file.db.MaxSize = 1 // bbolt refuses to grow the file, as a full disk would
	big := AppendPut(nil, []Point{point("big", 0, "s", strings.Repeat("x", 60<<10), "t", strings.Repeat("y", 60<<10))})
	for range 40 {
		apply(t, leader, big)
		big = AppendPut(nil, []Point{point("big", leader.clock(), "s", strings.Repeat("x", 60<<10), "t", fmt.Sprint(leader.clock(), strings.Repeat("y", 60<<10)))})
	}
	full := copyOf(t, pinCut(t, leader, "big"))
	missing, err := Assembly{Stage: stage, Manifest: full.manifest}.Missing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	full.fetch(t, stage, missing)
	err = stage.Commit()
	if !errors.Is(err, ErrStaging) || errors.Is(err, ErrStorage) {
		t.Fatalf("commit: %v", err)
	}
	for what, err := range map[string]error{"put": stage.Put(c.leaf(t, c.manifest[6].Leaf), c.manifest[6]), "commit": stage.Commit(),
		"drop": stage.Drop(c.manifest[0].Leaf), "seal": stage.Seal(testIdentity, full.state, full.manifest)} {
		if !errors.Is(err, ErrStaging) && !errors.Is(err, ErrIncomplete) {
			t.Errorf("%s afterwards: %v", what, err)
		}
	}
	if err := stage.Close(); err != nil {
		t.Fatal(err)
	}
	stage = mustStage(t, o)
	if got, err := stage.Leaves(); err != nil || !slices.Equal(got, c.manifest[:5]) {
		t.Fatalf("%v, %v", got, err)
	}
	if err := leader.Err(); err != nil {
		t.Fatal(err)
	}
}

// clock is a time that rises with what was applied.
func (s *Shard) clock() int64 { return int64(s.Applied().Index) }

// FuzzStagePut looks for leaf bytes that panic, or that are taken and then break the shard.
func FuzzStagePut(f *testing.F) {
	key := Series{"db", "c", "d"}.Key()
	good, _ := leafOfParts(f, digest.Leaf{Window: -1, Slot: SlotOf(key)}, 1, key, -5)
	f.Add(good)
	bad, _ := leafOfParts(f, digest.Leaf{Window: -1, Slot: SlotOf(key)}, 1, key, -5, -4)
	f.Add(bad)
	f.Add(good[:len(good)-3])
	stage := mustStage(f, stageOptions(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := digest.Entry{Leaf: digest.Leaf{Window: -1, Slot: SlotOf(key)}}
		if p, err := digest.Parse(b, digest.Visitor{}); err == nil {
			want = digest.Entry{Leaf: p.Leaf, LeafDigest: p.LeafDigest}
		}
		if err := stage.Put(b, want); err != nil {
			if !errors.Is(err, ErrWrongContent) {
				t.Fatal(err)
			}
			return
		}
		a := Assembly{Stage: stage, Manifest: []digest.Entry{want}}
		if bad, err := a.Damaged(t.Context()); err != nil || bad != nil {
			t.Fatal(bad, err)
		}
		if err := stage.file.check(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if err := stage.Drop(want.Leaf); err != nil || stage.totals != (totals{}) {
			t.Fatalf("%+v, %v", stage.totals, err)
		}
	})
}
