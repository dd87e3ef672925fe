package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// damagedShard makes a file with several pages of everything, and what it holds.
func damagedShard(t *testing.T) (Options, contents) {
	t.Helper()
	o := testOptions(t)
	s := mustOpen(t, o)
	want := contents{}
	for round := range 30 {
		var points []Point
		for d := range 40 {
			p := point(fmt.Sprint("device-", d), int64(round)*3*int64(time.Second), "v", float64(round*d)/100, "n", round*d, "s", fmt.Sprint(d))
			points = append(points, p)
			for _, f := range p.Fields {
				want.set(p.Series, p.Time, f.Name, f.Value)
			}
		}
		apply(t, s, AppendPut(nil, points))
		if round%10 == 0 {
			rootOf(t, s, fmt.Sprint(round))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o, want
}

// TestFlippedBits: whatever bit of the file is flipped, a reader gets right values or an error, the process lives, and
// what is silently missing is found by Check. Half of the flips hit page headers, where bbolt itself breaks.
func TestFlippedBits(t *testing.T) {
	o, want := damagedShard(t)
	clean, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	used := usedPages(clean)
	o.Fatal, o.InitialMmapSize = nil, 4<<20
	random := rand.New(rand.NewPCG(1, 2))
	outcomes := map[string]int{}
	for i := range 400 {
		at := used[random.IntN(len(used))] * 4096
		if i%2 == 0 {
			at += random.IntN(64)
		} else {
			at += random.IntN(4096)
		}
		bad := append([]byte(nil), clean...)
		bad[at] ^= 1 << random.IntN(8)
		o.Path = filepath.Join(t.TempDir(), fmt.Sprint("flip-", i))
		o.SkipCheck = i%4 < 2
		if err := os.WriteFile(o.Path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		outcomes[useDamaged(t, o, want, fmt.Sprintf("flip at %d", at))]++
		if err := os.Remove(o.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	t.Log(outcomes)
	if outcomes["open"] == 0 || outcomes["read"] == 0 || outcomes["none"] == 0 {
		t.Fatalf("the flips were too tame to show anything: %v", outcomes)
	}
}

// usedPages are the pages of a file that hold anything: bbolt makes files longer than it needs.
func usedPages(file []byte) (pages []int) {
	for at := 0; at < len(file); at += 4096 {
		for _, b := range file[at : at+4096] {
			if b != 0 {
				pages = append(pages, at/4096)
				break
			}
		}
	}
	return pages
}

// useDamaged opens, checks, reads and writes, and says where the damage was found.
func useDamaged(t *testing.T, o Options, want contents, what string) string {
	s, err := OpenShard(o)
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: open: %v", what, err)
		}
		return "open"
	}
	defer s.Close()
	found := s.Check(context.Background())
	if found != nil && !errors.Is(found, ErrDamaged) {
		t.Errorf("%s: check: %v", what, found)
	}
	rows, reads := 0, error(nil)
	for series, points := range want {
		n, err := scanAgainst(t, s, what, series, points)
		rows += n
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: scan: %v", what, err)
		}
		reads = errors.Join(reads, err)
	}
	if s.Applied().Index < 36 {
		// A flip in the newer of bbolt's two meta pages: it falls back on the commit before. That is an older state with an
		// older applied index, which the log brings forward again, as after a crash.
		return "older"
	}
	if reads == nil && found == nil && rows != 40*30 {
		t.Errorf("%s: %d rows are gone, and nobody says so", what, 40*30-rows)
	}
	s.Apply([]Entry{{Index: s.Applied().Index + 1, Term: 1, Data: AppendPut(nil, []Point{point("device-3", 5, "w", 1), point("new", 5, "w", 1)})}})
	if _, err := s.Flush(context.Background()); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrStorage) {
		t.Errorf("%s: flush: %v", what, err)
	}
	switch {
	case found != nil && reads == nil:
		return "check"
	case reads != nil:
		return "read"
	}
	return "none"
}

// TestBadBlockHurtsOnlyItsLeaf: one block fails its CRC; other leaves are served, writes go on, the digest of the leaf is
// refused. The first read that meets it distrusts the whole leaf; deleting all of the block and trusting again heals.
func TestBadBlockHurtsOnlyItsLeaf(t *testing.T) {
	o, want := damagedShard(t)
	reports := 0
	o.BadLeaf = func(leaf digest.Leaf, err error) { reports++ }
	s := mustOpen(t, o)
	bad := Series{"db", "c", "device-7"}
	leaf := digest.Leaf{Slot: SlotOf(bad.Key())}
	flipBlock(t, s, bad, 0)
	scan := func(series Series, to int64) error {
		return s.Scan(t.Context(), Query{Series: series, From: 0, To: to}, contents{}.add(t, false))
	}
	check := func() {
		t.Helper()
		var d *DamageError
		if err := scan(bad, int64(testWindow)); !errors.As(err, &d) || d.Structure || d.Leaf != leaf {
			t.Fatalf("%v: %v", bad, err)
		}
		for series := range want {
			switch err := scan(series, int64(testWindow)); {
			case SlotOf(series.Key()) == leaf.Slot && (!errors.As(err, &d) || d.Structure || d.Leaf != leaf):
				t.Fatalf("%v, in a leaf that is not trusted: %v", series, err)
			case SlotOf(series.Key()) != leaf.Slot && err != nil && (!errors.As(err, &d) || d.Leaf != leaf): // a neighbour's
				t.Fatalf("%v: %v", series, err)
			}
		}
		if got := s.Distrusted(); len(got) != 1 || got[0] != leaf || reports != 1 {
			t.Fatalf("distrusted %v, reported %d times", got, reports)
		}
	}
	check()
	apply(t, s, AppendPut(nil, []Point{point(bad.Device, 1, "w", 5)}))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatalf("flush over a bad block: %v", err)
	}
	check()
	v := pinCut(t, s, "cut")
	if _, _, err := v.ReadRoot(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Fatalf("digest over a bad block: %v", err)
	}
	apply(t, s, AppendDelete(nil, Delete{bad, 1, 2})) // part of a window whose block cannot be read
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatalf("delete over a bad block: %v", err)
	}
	check()
	apply(t, s, AppendDelete(nil, Delete{bad, MinTime, NoEnd}))
	apply(t, s, AppendPut(nil, []Point{point(bad.Device, 2, "w", 6)}))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	check()
	s.Trust(leaf)
	delete(want, bad)
	want.set(bad, 2, "w", blocks.Int(6))
	compare(t, "healed", readAll(t, s, false), want)
}

// flipBlock flips a bit of a stored block, behind the shard's back.
func flipBlock(t *testing.T, s *Shard, series Series, window int64) {
	t.Helper()
	s.file.change(t, func(tx *bolt.Tx) error {
		r := newReader(s.file, tx)
		k, v := r.cursor.Seek(r.partPrefix(window, SlotOf(series.Key()), series.Key()))
		bad := append([]byte(nil), v...)
		bad[len(bad)/2] ^= 4
		return tx.Bucket(bucketBlocks).Put(append([]byte(nil), k...), bad)
	})
}

func TestTruncatedAndForeignFiles(t *testing.T) {
	o, _ := damagedShard(t)
	clean, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	used := usedPages(clean)
	end := (used[len(used)-1] + 1) * 4096
	for _, size := range []int{1, 4096, 3 * 4096, end / 2, end - 4096} {
		o.Path = filepath.Join(t.TempDir(), "short")
		if err := os.WriteFile(o.Path, clean[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenShard(o); err == nil {
			if err := s.Check(t.Context()); err == nil && size <= end/2 {
				t.Errorf("file cut to %d of %d bytes: nothing found", size, end)
			}
			s.Close()
		} else if !errors.Is(err, ErrDamaged) {
			t.Errorf("file cut to %d bytes: %v", size, err)
		}
	}
	o.Path = filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(o.Path, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenShard(o); !errors.Is(err, ErrDamaged) {
		t.Errorf("zeroes: %v", err)
	}
}

func TestForeignIdentityIsRefused(t *testing.T) {
	o := testOptions(t)
	s := mustOpen(t, o)
	apply(t, s, AppendNoop(nil))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Options){
		"cluster": func(o *Options) { o.Identity.ClusterID = "x" },
		"group":   func(o *Options) { o.Identity.Group = 1 },
		"lineage": func(o *Options) { o.Identity.Lineage = "x" },
		"window":  func(o *Options) { o.Window = time.Hour },
	} {
		other := o
		change(&other)
		if _, err := OpenShard(other); !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: %v", what, err)
		}
	}
	o.Identity.Lineage = ""
	s = mustOpen(t, o)
	s.file.change(t, func(tx *bolt.Tx) error { return putMeta(tx.Bucket(bucketMeta), metaFormat, number(fileFormat+1)) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenShard(o); !errors.Is(err, ErrIdentity) || !errors.Is(err, ErrLayout) {
		t.Errorf("layout: %v", err)
	}
}

func TestFailedCommitIsFatalOnce(t *testing.T) {
	o := testOptions(t)
	o.InitialMmapSize = 2 << 20 // and with it the largest size of the file
	calls := 0
	o.Fatal = func(error) { calls++ }
	s := mustOpen(t, o)
	for i := range 200 {
		var points []Point
		for d := range 100 {
			points = append(points, point(fmt.Sprint(i, "-", d), int64(d), "s", fmt.Sprintf("%0200d", d)))
		}
		if s.Apply([]Entry{{Index: uint64(i + 1), Term: 1, Data: AppendPut(nil, points)}})[0] != nil {
			break
		}
	}
	if _, err := s.Flush(t.Context()); !errors.Is(err, ErrStorage) {
		t.Fatalf("flush: %v", err)
	}
	if err := s.Apply([]Entry{{Index: 1000, Term: 1, Data: AppendNoop(nil)}})[0]; !errors.Is(err, ErrStorage) {
		t.Fatalf("apply: %v", err)
	}
	if err := s.Scan(t.Context(), Query{Series: Series{"db", "c", "1"}, From: 0, To: 1}, nil); !errors.Is(err, ErrStorage) {
		t.Fatalf("scan: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrStorage) {
		t.Fatalf("close: %v", err)
	}
	if calls != 1 {
		t.Fatalf("Fatal was called %d times", calls)
	}
}
