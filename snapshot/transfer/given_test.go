package transfer

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// measured makes a Scheduler that knows the speeds of its sources, in bytes a second.
func measured(want []digest.Entry, now time.Time, speeds []float64, sources ...SourceInfo) *Scheduler {
	s := NewScheduler(want, sources, 1)
	for i, rate := range speeds {
		s.sources[i].speed = speed{bytes: rate, seconds: 1, at: now}
	}
	return s
}

// The leader, and a follower elsewhere, give nothing that those before them would have finished sooner.
func TestLaterRanksGiveOnlyWhatWouldComeLater(t *testing.T) {
	now := time.Unix(0, 0)
	near := SourceInfo{SameZone: true}
	for _, later := range []SourceInfo{{Leader: true, SameZone: true}, {}} {
		for _, c := range []struct {
			name   string
			speeds []float64
			given  bool
		}{{"as fast", []float64{1e7, 1e7}, true}, {"a hundred times slower", []float64{1e7, 1e5}, false}} {
			s := measured(manifest(slices.Repeat([]uint64{100_000}, 20)...), now, c.speeds, near, later)
			given := slices.ContainsFunc(s.Assign(now), func(b Batch) bool { return b.Source == 1 })
			if given != c.given {
				t.Errorf("%s, leader %v: given %v", c.name, later.Leader, given)
			}
		}
	}
}

// A leaf that two sources were asked for is stored once, whoever is first, and comes back only when nobody has it.
func TestLeafOfTwoSourcesIsStoredOnce(t *testing.T) {
	now := time.Unix(0, 0)
	for _, firstFails := range []bool{false, true} {
		s := measured(manifest(100_000), now, []float64{1e4, 1e7}, SourceInfo{SameZone: true}, SourceInfo{SameZone: true})
		slow := s.Assign(now)
		s.Begun(now, slow[0].ID)
		stolen := s.Assign(now)
		if len(slow) != 1 || len(stolen) != 1 || slow[0].Source != 0 || stolen[0].Source != 1 {
			t.Fatalf("%+v then %+v", slow, stolen)
		}
		s.Begun(now, stolen[0].ID)
		if !s.Claim(stolen[0].ID, 0) || s.Claim(slow[0].ID, 0) {
			t.Fatal("a leaf that is being stored was given away")
		}
		s.Stored(stolen[0].ID, 0, !firstFails)
		if s.Claim(slow[0].ID, 0) != firstFails {
			t.Fatal("a leaf that was stored was given away, or one that was not was refused")
		}
		if firstFails {
			s.Stored(slow[0].ID, 0, true)
		} else if got := s.Useless(); !slices.Contains(got, slow[0].ID) {
			t.Errorf("useless: %v", got)
		}
		s.Ended(now, stolen[0].ID, nil)
		s.Ended(now, slow[0].ID, nil)
		if !s.Done() || s.stored != 1 || s.waiting.bytes != 0 || len(s.waiting.waiting) != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// halfLiar lies in its first batch and says nothing in the others.
type halfLiar struct{ liar *replica }

func (h halfLiar) Name() string { return "liar" }

func (h halfLiar) Fetch(ctx context.Context, q Request, to Receiver) error {
	if h.liar.messages.Add(1) == 1 {
		return h.liar.Fetch(ctx, q, to)
	}
	<-ctx.Done()
	return ctx.Err()
}

// What else a dropped source was asked for is ended with it, not when it has been silent for long enough.
func TestDroppedSourceEndsAllItsBatches(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(sizes(100, 100_000)...)
		began := time.Now()
		source := halfLiar{liar: &replica{name: "liar", shard: leaves, flip: 10}}
		_, err := Run(t.Context(), Plan{Want: want, Sources: []SourceInfo{{Source: source}}}, newStage(t).put, nil)
		if took := time.Since(began); !errors.Is(err, ErrWrongContent) || took > time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestLowRateMakesSmallMessages(t *testing.T) {
	for _, c := range []struct {
		rate, asked float64
		want        int
	}{
		{0, 1 << 20, 1 << 20}, {1 << 20, 1 << 20, 256 << 10}, {100 << 20, 1 << 20, 1 << 20}, {MinRate, 1 << 20, MinMessageBytes},
		{0, 0, MinMessageBytes}, {0, 1 << 30, MaxMessageBytes},
	} {
		s := NewServer(ServerOptions{Out: NewLimiter(c.rate)})
		if got := s.messageBytes(Request{MessageBytes: int(c.asked)}); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
