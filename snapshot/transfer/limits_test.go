package transfer

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// took runs a transfer of so many MiB and returns how long it took.
func took(t *testing.T, mib int, plan Plan, replicas ...*replica) time.Duration {
	t.Helper()
	leaves, want := shardOf(sizes(mib*8, 128<<10)...)
	for _, r := range replicas {
		r.shard = leaves
	}
	plan.Want, plan.Sources = want, sourcesOf(replicas...)
	began, s := time.Now(), newStage(t)
	if _, err := Run(t.Context(), plan, s.put, nil); err != nil {
		t.Error(err)
	}
	complete(t, s, want, replicas...)
	return time.Since(began)
}

func near(got, want time.Duration) bool { return got > want*8/10 && got < want*13/10 }

func TestRatesBoundWhatComesInAndGoesOut(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		plan Plan
		out  *Limiter
	}{
		"in, of the node": {plan: Plan{Limits: NewLimits(2 * mib)}},
		"in, of the job":  {plan: Plan{Rate: NewLimiter(2 * mib)}},
		"out":             {out: NewLimiter(2 * mib)},
		"the lowest":      {plan: Plan{Rate: NewLimiter(2 * mib), Limits: NewLimits(8 * mib)}, out: NewLimiter(100 * mib)},
	} {
		virtual(t, func(t *testing.T) {
			if d := took(t, 16, c.plan, &replica{name: "a", out: c.out}, &replica{name: "b", out: c.out}); !near(d, 8*time.Second) {
				t.Errorf("%s: 16 MiB at 2 MiB/s took %v", name, d)
			}
		})
	}
	virtual(t, func(t *testing.T) {
		if d := took(t, 16, Plan{Limits: NewLimits(0), Rate: NewLimiter(0)}, &replica{name: "a"}); d > time.Second {
			t.Errorf("without a rate it took %v", d)
		}
	})
}

// Two transfers of a node share its rate, and a change is felt by those that are under way.
func TestRateOfTheNodeIsSharedAndCanBeChanged(t *testing.T) {
	virtual(t, func(t *testing.T) {
		limits := NewLimits(1 << 20)
		var wait sync.WaitGroup
		began := time.Now()
		for range 2 {
			wait.Go(func() { took(t, 8, Plan{Limits: limits}, &replica{name: "a"}) })
		}
		time.Sleep(8 * time.Second) // half is there
		limits.In.Set(4 << 20)
		wait.Wait()
		if d := time.Since(began); !near(d, 10*time.Second) {
			t.Errorf("took %v", d)
		}
		if r := limits.In.Rate(); r != 4<<20 {
			t.Errorf("rate %v", r)
		}
		limits.In.Set(1)
		if r := limits.In.Rate(); r != MinRate {
			t.Errorf("rate %v", r)
		}
	})
}

// At the lowest rate, with all streams taken, no source looks silent.
func TestLowestRateIsNotSilence(t *testing.T) {
	virtual(t, func(t *testing.T) {
		out := NewLimiter(MinRate)
		var wait sync.WaitGroup
		for range MaxStreams / lanes {
			wait.Go(func() { took(t, 4, Plan{}, &replica{name: "a", out: out}) })
		}
		wait.Wait()
	})
}

// asking counts the bytes that all transfers of a node have asked for and not stored.
type asking struct {
	*replica
	bytes, most *atomic.Int64
}

func (a asking) Fetch(ctx context.Context, q Request, to Receiver) error {
	all := int64(0)
	for _, n := range q.Sizes {
		all += int64(n)
	}
	now := a.bytes.Add(all)
	for most := a.most.Load(); now > most && !a.most.CompareAndSwap(most, now); most = a.most.Load() {
	}
	defer a.bytes.Add(-all)
	return a.replica.Fetch(ctx, q, to)
}

func TestBytesInFlightOfANodeAreBounded(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(append(sizes(40, 700_000), 5<<20, 5<<20)...)
		limits := NewLimits(0)
		var bytes, most atomic.Int64
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() {
				var sources []SourceInfo
				for range 3 {
					sources = append(sources, SourceInfo{Source: asking{&replica{name: "a", shard: leaves, speed: 1e8}, &bytes, &most}, SameZone: true})
				}
				s := newStage(t)
				if _, err := Run(t.Context(), Plan{Want: want, Sources: sources, Limits: limits}, s.put, nil); err != nil {
					t.Error(err)
				}
				complete(t, s, want)
			})
		}
		wait.Wait()
		if most.Load() > MaxInFlight || most.Load() < MaxInFlight/2 {
			t.Errorf("%d bytes were in flight, the bound is %d", most.Load(), MaxInFlight)
		}
	})
}

// A leaf that is larger than the bound goes alone, and does not wait for ever.
func TestLeafLargerThanTheBoundIsFetched(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(append([]int{MaxInFlight + 1}, sizes(30, 100_000)...)...)
		a, s := &replica{name: "a", shard: leaves, speed: 1e8}, newStage(t)
		if _, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(a)}, s.put, nil); err != nil {
			t.Fatal(err)
		}
		complete(t, s, want, a)
	})
}

func TestMessageBytesOfPoints(t *testing.T) {
	_, want := shardOf(sizes(4, 1000)...)
	for i := range want {
		want[i].Points = 10 // 100 bytes a point
	}
	got := []int{MessageBytesOf(0, want), MessageBytesOf(1000, want), MessageBytesOf(10_000, want), MessageBytesOf(1<<30, want), MessageBytesOf(1000, nil)}
	if !slices.Equal(got, []int{DefaultMessageBytes, MinMessageBytes, 1_000_000, MaxMessageBytes, DefaultMessageBytes}) {
		t.Error(got)
	}
}
