package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// manifest is what all leaves of a shard hold now.
func manifest(t testing.TB, s *Shard) map[digest.Leaf]digest.LeafDigest {
	t.Helper()
	v, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	_, entries, err := v.ReadRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := make(map[digest.Leaf]digest.LeafDigest)
	for _, e := range entries {
		held[e.Leaf] = e.LeafDigest
	}
	return held
}

// replayed is what the log says of leaves, from a base on, with a shard to look for the base in.
func replayed(t testing.TB, s *Shard, base map[digest.Leaf]digest.LeafDigest, log []Entry, leaves []digest.Leaf) (told map[digest.Leaf]digest.LeafDigest, untold map[digest.Leaf]error) {
	t.Helper()
	v, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	r := v.Replay(leaves)
	for _, e := range log {
		if err := r.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	told, untold = make(map[digest.Leaf]digest.LeafDigest), make(map[digest.Leaf]error)
	for _, leaf := range leaves {
		d, err := r.Leaf(t.Context(), v, leaf, base[leaf])
		switch {
		case errors.Is(err, ErrUntold):
			untold[leaf] = err
		case err != nil:
			t.Fatal(err)
		default:
			told[leaf] = d
		}
	}
	return told, untold
}

func allLeaves(held ...map[digest.Leaf]digest.LeafDigest) (leaves []digest.Leaf) {
	seen := map[digest.Leaf]bool{}
	for _, m := range held {
		for leaf := range m {
			if !seen[leaf] {
				seen[leaf] = true
				leaves = append(leaves, leaf)
			}
		}
	}
	return leaves
}

// Whatever the log says, a replay of it gives the content ids that applying it gave, or says that it cannot tell. From the
// first entry on it always can.
func TestReplayGivesWhatApplyingTheLogGave(t *testing.T) {
	runs, untold, told := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		o := testOptions(t)
		o.Path = filepath.Join(t.TempDir(), fmt.Sprint(runs, ".db"))
		s, err := OpenShard(o)
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		var log []Entry
		base, from := map[digest.Leaf]digest.LeafDigest{}, 0
		for range rapid.IntRange(2, 14).Draw(rt, "entries") {
			var data []byte
			for range rapid.IntRange(1, 2).Draw(rt, "commands") {
				switch rapid.IntRange(0, 7).Draw(rt, "op") {
				case 0:
					data = AppendDelete(data, drawDelete(rt))
				case 1:
					data = AppendRetain(data, "db", rapid.Int64Range(-3, 2).Draw(rt, "before"))
				case 2:
					data = append(AppendNoop(data), 3, byte(KindPut), 0xf0, 1) // cannot be decoded
				default:
					data = AppendPut(data, drawPoints(rt))
				}
			}
			e := Entry{Index: uint64(len(log) + 1), Term: 1, Data: data}
			log = append(log, e)
			if err := s.Apply([]Entry{e})[0]; err != nil && !errors.Is(err, ErrBadCommand) {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 4).Draw(rt, "agreed") == 0 {
				base, from = manifest(t, s), len(log)
			}
		}
		now := manifest(t, s)
		leaves := allLeaves(base, now)
		is, not := replayed(t, s, base, log[from:], leaves)
		all, never := replayed(t, s, nil, log, leaves)
		untold, told = untold+len(not), told+len(is)
		if len(never) > 0 {
			rt.Fatalf("the whole log does not tell: %v", never)
		}
		for _, leaf := range leaves {
			if d, ok := is[leaf]; ok && d != now[leaf] {
				rt.Fatalf("leaf %s from entry %d on: %+v, is %+v", leaf, from, d, now[leaf])
			}
			if all[leaf] != now[leaf] {
				rt.Fatalf("leaf %s: %+v, is %+v", leaf, all[leaf], now[leaf])
			}
		}
	})
	t.Logf("%d leaves told, %d not", told, untold)
	if told == 0 || untold == 0 {
		t.Error("not both were met")
	}
}

// New points, and nothing written, leave the base where it can be found: also behind, between and before the older ones.
func TestReplayFindsTheBaseUnderNewPoints(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	var log []Entry
	write := func(points ...Point) {
		data := AppendPut(nil, points)
		log = append(log, Entry{Index: apply(t, s, data), Term: 1, Data: data})
	}
	for i := range int64(40) {
		write(point("a", 4*i, "v", int(i)), point("b", 4*i, "v", float64(i)), point("c", 4*i+3*int64(testWindow), "v", "text"))
	}
	base, from := manifest(t, s), len(log)
	for i := range int64(40) {
		write(point("a", 4*i+2, "v", int(i)), point("b", 4*i-500, "v", int(i)), point("d", i, "v", true))
	}
	now := manifest(t, s)
	told, untold := replayed(t, s, base, log[from:], allLeaves(base, now))
	for leaf, d := range now {
		if told[leaf] != d {
			t.Errorf("leaf %s: %+v instead of %+v, %v", leaf, told[leaf], d, untold[leaf])
		}
	}
}

// A replica whose leaf was altered behind the log's back says that it cannot tell, or tells what is right; one whose leaf
// was not always tells.
func TestReplayIsNotMisledByAnAlteredLeaf(t *testing.T) {
	for _, how := range []Spoiling{SpoilDivergent, SpoilMissing} {
		for seed := range uint64(12) {
			bad, good := drilled(t), drilled(t)
			var log []Entry
			base := manifest(t, good)
			for i := range int64(6) {
				data := AppendPut(nil, []Point{point("device-0", 100+i, "v", float64(i)), point("device-new", i, "v", int(i))})
				log = append(log, Entry{Index: apply(t, good, data), Term: 1, Data: data})
				apply(t, bad, data)
			}
			if _, err := bad.Spoil(t.Context(), how, rand.New(rand.NewPCG(seed, 1)).IntN); err != nil {
				t.Fatal(err)
			}
			now := manifest(t, good)
			leaves := allLeaves(base, now)
			if told, untold := replayed(t, good, base, log, leaves); len(untold) > 0 {
				t.Errorf("%s: the healthy one does not tell of %v", how, untold)
			} else {
				for _, leaf := range leaves {
					if told[leaf] != now[leaf] {
						t.Errorf("%s: leaf %s is %+v, not %+v", how, leaf, now[leaf], told[leaf])
					}
				}
			}
			told, _ := replayed(t, bad, base, log, leaves)
			for _, leaf := range leaves {
				if d, ok := told[leaf]; ok && d != now[leaf] {
					t.Errorf("%s: the altered one misleads about leaf %s", how, leaf)
				}
			}
		}
	}
}

// A replica that has skipped a delete has the base still: the log tells that what it has on top of that is too much.
func TestReplayTellsWhatWasDeleted(t *testing.T) {
	skipped, good := drilled(t), drilled(t)
	base := manifest(t, good)
	data := AppendDelete(nil, Delete{Series: Series{"db", "c", "device-3"}, From: MinTime, To: NoEnd})
	data = AppendDelete(data, Delete{Series: Series{"db", "c", ""}, From: int64(testWindow), To: int64(testWindow) + 1})
	log := []Entry{{Index: apply(t, good, data), Term: 1, Data: data}}
	apply(t, skipped, AppendNoop(nil))
	now := manifest(t, good)
	told, untold := replayed(t, skipped, base, log, allLeaves(base, now))
	for leaf := range base {
		if told[leaf] != now[leaf] || untold[leaf] != nil {
			t.Errorf("leaf %s: %+v instead of %+v, %v", leaf, told[leaf], now[leaf], untold[leaf])
		}
	}
}

// A lease that does not fit any more takes nothing along: leases run out by each replica's own clock.
func TestARefusedLeaseStopsNothing(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	for i := range maxLeases {
		apply(t, s, AppendLease(nil, Lease{ID: fmt.Sprint("lease-", i), TTL: maxTTL}))
	}
	data := AppendPut(AppendLease(nil, Lease{ID: "one more", TTL: maxTTL}), []Point{point("a", 1, "v", 1)})
	if err := s.Apply([]Entry{{Index: s.Applied().Index + 1, Term: 1, Data: data}})[0]; !errors.Is(err, ErrTooManyLeases) {
		t.Fatal(err)
	}
	if got := readAll(t, s, false); len(got) != 1 {
		t.Errorf("the points behind the lease are not there: %v", got)
	}
}
