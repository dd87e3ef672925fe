package resync

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
	"pgregory.net/rapid"
)

func leafEntry(window int64, content byte, bytes uint64) digest.Entry {
	return digest.Entry{Leaf: digest.Leaf{Window: window}, LeafDigest: digest.LeafDigest{ID: digest.ID{content}, Points: 1, Bytes: bytes}}
}

func TestCompareCountsTheLargerSide(t *testing.T) {
	manifest := []digest.Entry{leafEntry(1, 1, 10), leafEntry(2, 2, 20), leafEntry(3, 3, 30), leafEntry(5, 5, 50)}
	base := []digest.Entry{leafEntry(0, 9, 7), leafEntry(1, 1, 10), leafEntry(2, 8, 25), leafEntry(3, 8, 5), leafEntry(4, 4, 40)}
	c := Compare(manifest, base, nil)
	if len(c.Equal) != 1 || len(c.Differing) != 2 || len(c.Missing) != 1 || len(c.Orphans) != 2 || c.MovedBytes != 25+30+50 ||
		c.WantBytes != 100 || c.EqualBytes != 10 || c.OrphanBytes != 47 {
		t.Fatalf("%+v", c)
	}
	if c = Compare(manifest, base, map[digest.Leaf]bool{{Window: 1}: true}); len(c.Equal) != 0 || len(c.Differing) != 3 {
		t.Fatalf("a suspect counts as equal: %+v", c)
	}
}

// Each leaf is in exactly one place, and what is wanted with what is equal is the manifest.
func TestCompareLosesNothing(t *testing.T) {
	entries := rapid.Custom(func(t *rapid.T) []digest.Entry {
		windows := rapid.SliceOfNDistinct(rapid.Int64Range(0, 12), 0, 10, rapid.ID[int64]).Draw(t, "windows")
		slices.Sort(windows)
		var list []digest.Entry
		for _, w := range windows {
			list = append(list, leafEntry(w, byte(rapid.IntRange(1, 2).Draw(t, "content")), 5))
		}
		return list
	})
	rapid.Check(t, func(t *rapid.T) {
		manifest, base := entries.Draw(t, "manifest"), entries.Draw(t, "base")
		c := Compare(manifest, base, nil)
		all := slices.Concat(c.Equal, c.Missing, c.Differing)
		slices.SortFunc(all, func(a, b digest.Entry) int { return a.Leaf.Compare(b.Leaf) })
		if !slices.Equal(all, manifest) {
			t.Fatalf("%v, want %v", all, manifest)
		}
		if len(c.Equal)+len(c.Differing)+len(c.Orphans) != len(base) {
			t.Fatalf("%+v of %v", c, base)
		}
		rest := without(manifest, c.Equal)
		if len(rest) != len(c.Missing)+len(c.Differing) {
			t.Fatalf("%v", rest)
		}
	})
}

func TestFewBytesGoIntoThePlaceMoreIntoANewFile(t *testing.T) {
	some := Comparison{Equal: []digest.Entry{leafEntry(1, 1, 1)}, MovedBytes: InPlaceBytes / 2, OrphanBytes: InPlaceBytes / 2}
	more := some
	more.MovedBytes++
	for _, tc := range []struct {
		full     bool
		c        Comparison
		suspects int
		want     bool
	}{{false, some, 0, true}, {false, more, 0, false}, {true, some, 0, false}, {false, some, 1, false}, {false, Comparison{}, 0, false}} {
		if got := inPlace(tc.full, tc.c, tc.suspects); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	if roomFor(true, Comparison{WantBytes: 10, EqualBytes: 1000}, 0) >= roomFor(false, Comparison{WantBytes: 10, EqualBytes: 1000}, 0) {
		t.Error("what is equal is written again in place")
	}
}

// After a tenth of the bytes the estimate is within a factor of 1.5 of the truth, at any steady speed, with noise, and
// also when the speed was another one before.
func TestETAIsWithinHalfAsMuchAgainAfterATenth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(20<<20, 8<<30).Draw(t, "total")
		speed := rapid.Float64Range(1<<20, 500<<20).Draw(t, "bytes/s")
		noise := rapid.Float64Range(0, 0.3).Draw(t, "noise")
		measured := walgap.Rates{WireBytesPerS: walgap.Rate(rapid.Float64Range(1<<20, 1<<30).Draw(t, "measured")), ProofBytesPerS: 400e6}
		proof := float64(total) / 400e6
		start := time.Unix(1000, 0)
		const step = 100 * time.Millisecond
		moved := func(at time.Duration) float64 { // in the step that ends then
			return speed * (1 + noise*math.Sin(float64(at)/float64(300*time.Millisecond))) * step.Seconds()
		}
		finish, left := proof, float64(total) // the noise included: it is ahead or behind for as much as 0.2 s
		for at := step; left > 0; at += step {
			finish += step.Seconds() * min(1, left/moved(at))
			left -= moved(at)
		}
		var p Pace
		done, exact := int64(0), 0.0
		for at := step; done < total; at += step {
			exact += moved(at)
			done = min(total, int64(exact)+1)
			now := start.Add(at)
			p.Add(now, done)
			if float64(done) < 0.1*float64(total) || float64(done) > 0.9*float64(total) || at < 2*time.Second {
				continue
			}
			eta := ETA(Work{FetchBytes: total - done, ProofBytes: total}, measured, Fetch, p.PerSecond(now)).Seconds()
			truth := finish - at.Seconds()
			if eta > 1.5*truth || eta < truth/1.5 {
				t.Fatalf("after %v, %d of %d: %.1f s, truth %.1f s, pace %.0f of %.0f", at, done, total, eta, truth, p.PerSecond(now), speed)
			}
		}
	})
}

func TestPaceForgetsWhatWasLongAgo(t *testing.T) {
	var p Pace
	at, done := time.Unix(0, 0), int64(0)
	for range 600 { // a minute at 1000/s
		at, done = at.Add(100*time.Millisecond), done+100
		p.Add(at, done)
	}
	for range 150 { // 15 s at 10/s
		at, done = at.Add(100*time.Millisecond), done+1
		p.Add(at, done)
	}
	if got := p.PerSecond(at); got < 9 || got > 11 || len(p.samples) > paceSamples+1 {
		t.Fatalf("%.1f of %d samples", got, len(p.samples))
	}
	if got := p.PerSecond(at.Add(time.Hour)); got > 1 {
		t.Fatalf("%.1f after an hour in which nothing moved", got)
	}
	p.Add(at, 5)
	if got := p.PerSecond(at); got != 0 {
		t.Fatalf("%.1f after it began anew", got)
	}
}
