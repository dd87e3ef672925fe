package transfer

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"pgregory.net/rapid"
)

// drawLeaves makes a manifest in which no leaf is more than a tenth of all.
func drawLeaves(rt *rapid.T) []digest.Entry {
	base := rapid.Uint64Range(1000, 400_000).Draw(rt, "base")
	count := rapid.IntRange(20, 400).Draw(rt, "count")
	spread := rapid.Uint64Range(0, base).Draw(rt, "spread")
	sizes := make([]uint64, count)
	for i := range sizes {
		sizes[i] = base - spread/2 + uint64(i*7919)%(spread+1)
	}
	return manifest(sizes...)
}

// Two sources of the same speed end with 30-70% of the bytes each, also where one is the leader, and where one needs
// longer to begin.
func TestTwoEqualSourcesShareTheBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := drawLeaves(rt)
		speed := rapid.Float64Range(1e5, 1e9).Draw(rt, "speed")
		leader := rapid.Bool().Draw(rt, "leader")
		r := simulate(rt, want, []simSource{
			{info: SourceInfo{SameZone: true}, speed: speed},
			{info: SourceInfo{SameZone: true, Leader: leader}, speed: speed * rapid.Float64Range(0.8, 1.25).Draw(rt, "noise"),
				delay: min(time.Duration(rapid.Float64Range(0, 0.2).Draw(rt, "delay")*float64(total(want))/speed*1e9), time.Second)},
		}, 0.5)
		all := float64(total(want))
		for i, b := range r.bytes {
			if share := float64(b) / all; share < 0.3 || share > 0.7 {
				rt.Fatalf("source %d gave %.0f%% of %d leaves: %v", i, share*100, len(want), r.bytes)
			}
		}
	})
}

// A source that gets nothing done for half a second, as happens on a busy machine, still gives its part.
func TestEqualSourceThatPausesGivesItsPart(t *testing.T) {
	want := manifest(slices.Repeat([]uint64{40_000}, 48)...)
	r := simulate(t, want, []simSource{
		{info: SourceInfo{SameZone: true}, speed: 1e8}, {info: SourceInfo{SameZone: true}, speed: 1e8, delay: 600 * time.Millisecond},
	}, 0.5)
	if share := float64(r.bytes[1]) / float64(total(want)); share < 0.3 {
		t.Fatalf("gave %.0f%%: %v", share*100, r.bytes)
	}
}

func TestLeaderGivesAtMostItsShare(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := drawLeaves(rt)
		share := rapid.Float64Range(0, 1).Draw(rt, "share")
		if rapid.Bool().Draw(rt, "none") {
			share = 0
		}
		followers := rapid.IntRange(1, 3).Draw(rt, "followers")
		sources := []simSource{{info: SourceInfo{Leader: true, SameZone: true}, speed: rapid.Float64Range(1e5, 1e9).Draw(rt, "leader")}}
		for range followers {
			sources = append(sources, simSource{info: SourceInfo{SameZone: rapid.Bool().Draw(rt, "zone")}, speed: rapid.Float64Range(1e5, 1e9).Draw(rt, "speed")})
		}
		sources[1].busy = rapid.IntRange(0, 3).Draw(rt, "busy")
		r := simulate(rt, want, sources, share)
		if r.err != nil || float64(r.bytes[0]) > share*float64(total(want)) {
			rt.Fatalf("leader gave %d of %d with share %.2f: %v", r.bytes[0], total(want), share, r.err)
		}
		if share == 0 && len(r.given[0]) > 0 {
			rt.Fatalf("leader was asked for %v", r.given[0])
		}
	})
}

// The leader does not slow the copy down, and gives what the followers would come to last.
func TestLeaderGivesTheOldestWindows(t *testing.T) {
	want := manifest(slices.Repeat([]uint64{100_000}, 200)...)
	r := simulate(t, want, []simSource{
		{info: SourceInfo{Leader: true, SameZone: true}, speed: 1e6},
		{info: SourceInfo{SameZone: true}, speed: 1e7},
	}, 0.5)
	if len(r.given[0]) == 0 {
		t.Fatal("the leader gave nothing")
	}
	oldest := want[:len(r.given[0])+1]
	for _, leaf := range r.given[0] {
		if !slices.ContainsFunc(oldest, func(e digest.Entry) bool { return e.Window <= leaf.Window }) || leaf.Window > want[len(want)/2].Window {
			t.Errorf("leader was asked for %v", leaf)
		}
	}
	if limit := 2200 * time.Millisecond; r.took > limit {
		t.Errorf("took %v, the follower alone would have taken 2s", r.took)
	}
}

func TestLeaderGivesAllWhenTheFollowersAreGone(t *testing.T) {
	want := manifest(slices.Repeat([]uint64{100_000}, 200)...)
	r := simulate(t, want, []simSource{
		{info: SourceInfo{Leader: true, SameZone: true}, speed: 1e7},
		{info: SourceInfo{SameZone: true}, speed: 1e7, dies: 500 * time.Millisecond},
	}, 0)
	if r.err != nil || r.bytes[0] == 0 || r.bytes[0]+r.bytes[1] != total(want) {
		t.Fatalf("%v, %v", r.bytes, r.err)
	}
}

// Whatever the sources do, it ends: every leaf once, or a reason for each source.
func TestEveryLeafComesOnceOrEverySourceHasAReason(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := manifest(rapid.SliceOfN(rapid.Uint64Range(0, 3<<20), 0, 60).Draw(rt, "sizes")...)
		var sources []simSource
		good := 0
		for range rapid.IntRange(0, 4).Draw(rt, "sources") {
			s := simSource{
				info:  SourceInfo{Leader: rapid.Bool().Draw(rt, "leader"), SameZone: rapid.Bool().Draw(rt, "zone")},
				speed: rapid.SampledFrom([]float64{0, 1e5, 1e7, 1e9}).Draw(rt, "speed"),
				lies:  rapid.Float64Range(0, 1).Draw(rt, "lies") < 0.2,
				busy:  rapid.IntRange(0, 3).Draw(rt, "busy"),
				delay: time.Duration(rapid.IntRange(0, 1000).Draw(rt, "delayMs")) * time.Millisecond,
				dies:  time.Duration(rapid.IntRange(0, 3).Draw(rt, "dies")) * time.Second,
			}
			if s.speed > 0 && !s.lies && s.dies == 0 {
				good++
			}
			sources = append(sources, s)
		}
		r := simulate(rt, want, sources, rapid.Float64Range(0, 1).Draw(rt, "share"))
		stored := uint64(0)
		for _, b := range r.bytes {
			stored += b
		}
		switch {
		case r.err == nil && stored != total(want):
			rt.Fatalf("%d of %d bytes, no error", stored, total(want))
		case r.err != nil && good > 0:
			rt.Fatalf("a good source was there: %v", r.err)
		case r.err != nil:
			var gone *SourcesGone
			if !errors.As(r.err, &gone) || len(gone.Reasons) != len(sources) || gone.Missing == 0 || !errors.Is(r.err, ErrNoSource) {
				rt.Fatalf("%v", r.err)
			}
		}
	})
}

func TestNewestWindowsComeFirst(t *testing.T) {
	want := manifest(slices.Repeat([]uint64{300_000}, 100)...)
	r := simulate(t, want, []simSource{{speed: 1e7}}, 0)
	order := slices.Clone(want)
	slices.SortFunc(order, newestFirst)
	for i, leaf := range r.given[0] {
		if leaf != order[i].Leaf {
			t.Fatalf("leaf %d is %v, want %v", i, leaf, order[i].Leaf)
		}
	}
}

// With one leaf to give, it is asked of a follower in the same zone.
func TestSameZoneIsAskedFirst(t *testing.T) {
	near, far := SourceInfo{SameZone: true}, SourceInfo{}
	for _, c := range []struct {
		name    string
		sources []SourceInfo
		want    int
	}{
		{"the same zone", []SourceInfo{far, near}, 1},
		{"one of the same zone", []SourceInfo{near, near}, 0},
		{"leader last", []SourceInfo{{Leader: true, SameZone: true}, far}, 1},
		{"leader when it is alone", []SourceInfo{{Leader: true}}, 0},
	} {
		s := NewScheduler(manifest(1000), c.sources, 1)
		got := s.Assign(time.Unix(0, 0))
		if len(got) != 1 || got[0].Source != c.want {
			t.Errorf("%s: %+v, want source %d", c.name, got, c.want)
		}
	}
}

// A source that is much faster is not held back by the part that is kept for slower ones.
func TestFastSourceIsNotHeldBack(t *testing.T) {
	want := manifest(slices.Repeat([]uint64{250_000}, 1600)...)
	r := simulate(t, want, []simSource{
		{info: SourceInfo{SameZone: true}, speed: 1e8},
		{info: SourceInfo{SameZone: true}, speed: 1e7},
	}, 0.5)
	if ideal := time.Duration(float64(total(want)) / 1.1e8 * 1e9); r.took > ideal*3/2 {
		t.Fatalf("took %v, together they could in %v; %v", r.took, ideal, r.bytes)
	}
}

// What a source was asked for that has become very slow is taken over by one that has nothing to do, long before the
// slow one is dropped.
func TestIdleSourceTakesOver(t *testing.T) {
	want := manifest(slices.Repeat([]uint64{100_000}, 60)...)
	r := simulate(t, want, []simSource{
		{info: SourceInfo{SameZone: true}, speed: 0},
		{info: SourceInfo{SameZone: true}, speed: 1e7},
	}, 0.5)
	if r.err != nil || r.bytes[1] != total(want) || r.took > 5*time.Second {
		t.Fatalf("took %v: %v, %v", r.took, r.bytes, r.err)
	}
}

func TestBusySourceIsAskedAgainAndDroppedInTheEnd(t *testing.T) {
	want := manifest(slices.Repeat([]uint64{100_000}, 60)...)
	if r := simulate(t, want, []simSource{{speed: 1e7, busy: 5}}, 0.5); r.err != nil || r.bytes[0] != total(want) {
		t.Fatalf("%v, %v", r.bytes, r.err)
	}
	r := simulate(t, want, []simSource{{speed: 1e7, busy: 1 << 30}}, 0.5)
	if !errors.Is(r.err, ErrBusy) || r.took < maxBusy || r.took > maxBusy+2*maxBusyPause {
		t.Fatalf("after %v: %v", r.took, r.err)
	}
}
