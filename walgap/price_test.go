package walgap

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// connected is a gap of n entries that the log still holds, in a shard of so many bytes in 1,000 leaves.
func connected(n, bytes uint64) (Leader, Target) {
	const behind = 5000
	l := Leader{Lineage: "one", Committed: true, CanCommit: true, First: 1000, Last: behind + n, Terms: []TermRun{{1000, 3}},
		Record: Position{behind, 3}, Points: 1 << 20, Bytes: bytes, Leaves: 1000}
	t := Target{Lineage: "one", Readable: true, HasData: true, Applied: Position{behind, 3}, First: 1000, Last: behind,
		Terms: []TermRun{{1000, 3}}, Bytes: bytes}
	return l, t
}

func TestAThousandEntriesAreNeverDearerThanACopy(t *testing.T) {
	// A node whose disk, network and hashing are without a price, and whose log is replayed as slowly as can be.
	free := Rates{EntriesPerS: minEntriesPerS, LocalBytesPerS: maxBytesPerS, WireBytesPerS: maxBytesPerS,
		ProofBytesPerS: maxBytesPerS, CutS: minCutS}
	l, target := connected(fixedEntries, 0)
	if v := Judge(l, target, free, Auto); v.Kind != Replay || v.Entries != fixedEntries || v.From != 5001 {
		t.Errorf("1,000 entries: %+v", v)
	}
	l, target = connected(fixedEntries+1, 0)
	if v := Judge(l, target, free, Auto); v.Kind != Delta || v.Row != Dear {
		t.Errorf("one more: %+v", v)
	}
}

func TestAReplicaWithoutFlushedDataIsCopiedWholeWhenReplayIsDear(t *testing.T) {
	l, target := connected(9_000_000, 1<<20)
	l.First, l.Terms, target.First, target.Terms = 1, []TermRun{{1, 3}}, 1, []TermRun{{1, 3}}
	target.HasData, target.Applied = false, Position{}
	if v := Judge(l, target, Rates{}, Auto); v.Kind != Full || v.Row != Dear {
		t.Errorf("%+v", v)
	}
}

// Where the group can commit nothing without the replica, and no copy can be made either, its log is its only way.
func TestDearReplayIsStillReplayWhereNothingCanBeCopied(t *testing.T) {
	l, target := connected(9_000_000, 1<<20)
	l.CanCommit, l.Record = false, Position{4000, 3}
	if v := Judge(l, target, Rates{}, Auto); v.Kind != Replay || v.FromRecord {
		t.Errorf("%+v", v)
	}
	l.Record = Position{5000, 3}
	if v := Judge(l, target, Rates{}, Auto); v.Kind != Delta || !v.FromRecord || v.Seconds < 9_000_000/float64(DefaultEntriesPerS) {
		t.Errorf("a record as new as its data, after which 9,000,000 entries follow: %+v", v)
	}
}

func TestPriceIsBytesByRateAndAFixedCost(t *testing.T) {
	r := Rates{EntriesPerS: 1000, LocalBytesPerS: 20e6, WireBytesPerS: 10e6, ProofBytesPerS: 100e6, CutS: 2}
	l, target := connected(0, 1e9)
	target.First, target.Last, target.Terms, target.Applied = 0, 0, nil, Position{900, 3} // the log is gone from there
	target.Bytes = 0.9e9
	v := Judge(l, target, r, Auto)
	// 100 MB are new, and 16 leaves of a thousand are being written: 16 MB. 2 s, 10 s to prove, 11.6 s to fetch.
	if v.Kind != Delta || v.Bytes != 116_000_000 || math.Abs(v.Seconds-23.6) > 0.001 {
		t.Errorf("delta: %+v", v)
	}
	if exact := v.Reprice(l, 50e6, r); exact.Bytes != 50e6 || math.Abs(exact.Seconds-17) > 0.001 {
		t.Errorf("with the bytes that comparing showed: %+v", exact)
	}
	if full := Judge(l, target, r, FullSync); full.Bytes != 1e9 || math.Abs(full.Seconds-112) > 0.001 {
		t.Errorf("full: %+v", full)
	}
	slowDisk := r
	slowDisk.LocalBytesPerS = 5e6
	if full := Judge(l, target, slowDisk, FullSync); math.Abs(full.Seconds-212) > 0.001 {
		t.Errorf("full onto a disk that is slower than the network: %+v", full)
	}
	l, target = connected(400, 1e9)
	l.LogBytes = (l.Last - l.First + 1) * 1000
	if v := Judge(l, target, r, Auto); v.Bytes != 400_000 || math.Abs(v.Seconds-0.44) > 0.001 {
		t.Errorf("replay of 400 entries of 1,000 bytes: %+v", v)
	}
}

func TestRatesAreAveragesWithinBounds(t *testing.T) {
	var r Rates
	if r.EntriesPerS.Measured() || r.CutS.Measured() || r.bounded().EntriesPerS != DefaultEntriesPerS {
		t.Error("nothing was measured, and the defaults count")
	}
	r = r.WithReplay(50_000, time.Second).WithReplay(10_000, time.Second)
	if r.EntriesPerS != 40_000 {
		t.Errorf("a quarter of the way from 50,000 to 10,000: %v", r.EntriesPerS)
	}
	for range 100 {
		r = r.WithReplay(20_000, time.Second)
	}
	if math.Abs(float64(r.EntriesPerS)-20_000) > 1 {
		t.Errorf("after many of 20,000: %v", r.EntriesPerS)
	}
	before := r
	if r = r.WithReplay(99, time.Second).WithFetch(1000, time.Second).WithProof(1<<30, 0).WithCut(0); r != before {
		t.Errorf("too little to say anything: %+v", r)
	}
	r = Rates{}.WithFetch(1<<40, time.Millisecond).WithStaging(1<<20, time.Hour).WithCut(time.Hour).WithReplay(100, time.Hour)
	if r.WireBytesPerS != maxBytesPerS || r.LocalBytesPerS != minBytesPerS || r.CutS != maxCutS || r.EntriesPerS != minEntriesPerS {
		t.Errorf("beyond the bounds: %+v", r)
	}
	odd := Rates{EntriesPerS: Rate(math.NaN()), WireBytesPerS: Rate(math.Inf(1)), LocalBytesPerS: -5, CutS: Cost(math.Inf(1))}.bounded()
	if odd.EntriesPerS != DefaultEntriesPerS || odd.WireBytesPerS != maxBytesPerS || odd.LocalBytesPerS != DefaultLocalBytesPerS || odd.CutS != maxCutS {
		t.Errorf("rates of a journal that was damaged: %+v", odd)
	}
}

// Whatever is reported, by whomever: Judge ends, its price is a number, and its line is one line.
func TestAnyReportsGiveAVerdictWithALine(t *testing.T) {
	index := rapid.OneOf(rapid.Uint64Range(0, 12), rapid.Uint64())
	position := rapid.Custom(func(t *rapid.T) Position { return Position{index.Draw(t, "i"), index.Draw(t, "t")} })
	terms := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) TermRun { return TermRun{index.Draw(t, "i"), index.Draw(t, "t")} }), 0, 5)
	lineage := rapid.SampledFrom([]string{"", "a", "b"})
	rapid.Check(t, func(t *rapid.T) {
		l := Leader{Lineage: lineage.Draw(t, "l"), Committed: rapid.Bool().Draw(t, "committed"), CanCommit: rapid.Bool().Draw(t, "can"),
			First: index.Draw(t, "first"), Last: index.Draw(t, "last"), Terms: terms.Draw(t, "terms"), Record: position.Draw(t, "record"),
			Points: index.Draw(t, "points"), Bytes: index.Draw(t, "bytes"), Leaves: index.Draw(t, "leaves"), LogBytes: index.Draw(t, "log")}
		target := Target{Lineage: lineage.Draw(t, "l"), Readable: true, HasData: rapid.Bool().Draw(t, "data"), Applied: position.Draw(t, "applied"),
			First: index.Draw(t, "first"), Last: index.Draw(t, "last"), Terms: terms.Draw(t, "terms"), Bytes: index.Draw(t, "bytes")}
		rate := rapid.Float64()
		r := Rates{Rate(rate.Draw(t, "r")), Rate(rate.Draw(t, "r")), Rate(rate.Draw(t, "r")), Rate(rate.Draw(t, "r")), Cost(rate.Draw(t, "r"))}
		v := Judge(l, target, r, Mode(rapid.IntRange(0, 2).Draw(t, "mode")))
		if v.Reason == "" || strings.ContainsAny(v.Reason, "\n") || math.IsNaN(v.Seconds) || math.IsInf(v.Seconds, 0) || v.Seconds < 0 {
			t.Fatalf("%+v", v)
		}
		if v.Kind.Copies() && v.Bytes > l.Bytes {
			t.Fatalf("it copies more than there is: %+v", v)
		}
		if v.Decided && v.Kind == Replay && v.From+v.Entries != l.Last+1 && l.First != 0 {
			t.Fatalf("a replay ends at the leader's last entry: %+v", v)
		}
	})
}

// More missing entries never make replay cheaper, and a verdict that left replay does not come back to it.
func TestPriceRisesWithTheGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.Uint64Range(0, 1<<40).Draw(t, "bytes")
		few := rapid.Uint64Range(1, 1<<24).Draw(t, "few")
		more := few + rapid.Uint64Range(0, 1<<24).Draw(t, "more")
		l, target := connected(few, bytes)
		a := Judge(l, target, Rates{}, Auto)
		l, target = connected(more, bytes)
		b := Judge(l, target, Rates{}, Auto)
		if a.Kind == Delta && b.Kind == Replay || a.Kind == b.Kind && b.Seconds < a.Seconds {
			t.Fatalf("%d entries: %+v\n%d entries: %+v", few, a, more, b)
		}
	})
}

// Raft sends entries behind one whose term it has compared: a lease has to keep that one, too.
func TestLeaseKeepsTheEntryBeforeTheFirstMissing(t *testing.T) {
	for from, keep := range map[uint64]uint64{0: 0, 1: 1, 2: 1, 7: 6} {
		if got := (Verdict{From: from}).Keep(); got != keep {
			t.Errorf("from %d: keeps %d, not %d", from, got, keep)
		}
	}
}
