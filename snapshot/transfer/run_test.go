package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// sizes repeats a leaf size.
func sizes(n, size int) []int { return slices.Repeat([]int{size}, n) }

func TestTwoSourcesGiveAllLeaves(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(append(sizes(200, 50_000), 3_000_000, 1, 100)...)
		a, b := &replica{name: "a", shard: leaves, speed: 1e7}, &replica{name: "b", shard: leaves, speed: 1e7}
		s := newStage(t)
		var last Progress
		result, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(a, b)}, s.put, func(p Progress) {
			if p.Bytes < last.Bytes || p.TotalBytes != total(want) || p.TotalLeaves != len(want) {
				t.Errorf("progress %+v after %+v", p, last)
			}
			last = p
		})
		if err != nil {
			t.Fatal(err)
		}
		complete(t, s, want, a, b)
		if last.Bytes != total(want) || last.Partial != 0 || result.Bytes != total(want) || result.WireBytes < total(want) {
			t.Errorf("%+v, %+v", last, result)
		}
		for _, r := range result.Sources {
			if share := float64(r.Bytes) / float64(total(want)); share < 0.3 || share > 0.7 || r.Err != nil {
				t.Errorf("%+v", r)
			}
		}
	})
}

// One byte of the payload is another one: the sink sees it, the source is dropped, the others give what it did not.
func TestCorruptedMessageBlamesItsSource(t *testing.T) {
	for name, flip := range map[string]int{"payload": 1000, "head": 60_000 + messageHeadBytes + partBytes - 2} {
		virtual(t, func(t *testing.T) {
			leaves, want := shardOf(sizes(40, 30_000)...)
			a, b := &replica{name: "a", shard: leaves, speed: 1e7}, &replica{name: "b", shard: leaves, speed: 1e6, flip: min(flip, 30_000)}
			if name == "head" {
				leaves, want = shardOf(sizes(1, 60_000)...)
				a.shard, b.shard, b.flip, b.speed = leaves, leaves, flip, 1e8
			}
			s := newStage(t)
			result, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(b, a)}, s.put, nil)
			if err != nil {
				t.Fatal(err)
			}
			complete(t, s, want, a, b)
			wanted := ErrWrongContent
			if name == "head" {
				wanted = ErrMessage
			}
			if !errors.Is(result.Sources[0].Err, wanted) || result.Bytes != total(want) {
				t.Errorf("%s: %+v", name, result)
			}
		})
	}
}

func TestSourceThatDiesIsReplaced(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(sizes(100, 100_000)...)
		a, b := &replica{name: "a", shard: leaves, speed: 1e7}, &replica{name: "b", shard: leaves, speed: 1e7, dies: 4}
		s := newStage(t)
		result, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(a, b)}, s.put, nil)
		if err != nil {
			t.Fatal(err)
		}
		complete(t, s, want, a, b)
		if result.Sources[1].Err == nil || result.Sources[1].Bytes == 0 {
			t.Errorf("%+v", result)
		}
	})
}

// A source that says nothing is dropped after Silence, one that is only slow is not.
func TestSilentSourceIsDropped(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(sizes(20, 200_000)...)
		hangs := &replica{name: "hangs", shard: leaves, hangs: 2}
		began, s := time.Now(), newStage(t)
		_, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(hangs), Silence: 7 * time.Second}, s.put, nil)
		if took := time.Since(began); !errors.Is(err, ErrSilent) || !errors.Is(err, ErrNoSource) || took < 7*time.Second || took > 8*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		slow := &replica{name: "slow", shard: leaves, pause: 6 * time.Second}
		s = newStage(t)
		if _, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(slow), Silence: 7 * time.Second}, s.put, nil); err != nil {
			t.Error(err)
		}
		complete(t, s, want, slow)
	})
}

// Time in which the target itself waits, for its rate or its disk, is not the source's silence.
func TestSlowSinkIsNotSilence(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(sizes(4, 100_000)...)
		a, s := &replica{name: "a", shard: leaves}, newStage(t)
		s.slow = time.Minute
		if _, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(a), Silence: time.Second}, s.put, nil); err != nil {
			t.Fatal(err)
		}
		complete(t, s, want, a)
	})
}

func TestEverySourceGoneNamesEachReason(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(sizes(20, 100_000)...)
		a := &replica{name: "n1", shard: leaves, refuse: fmt.Errorf("cut c7: %w", ErrNotPinned)}
		b := &replica{name: "n2", shard: leaves, refuse: ErrNotServed}
		c := &replica{name: "n3", shard: leaves, dies: 1}
		result, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(a, b, c)}, newStage(t).put, nil)
		if !errors.Is(err, ErrNoSource) || !errors.Is(err, ErrNotPinned) || !errors.Is(err, ErrNotServed) {
			t.Fatal(err)
		}
		for _, text := range []string{"n1: ", "cut c7", "n2: ", ErrNotServed.Error(), "n3: ", "n3 died", "leaves are missing"} {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q is not in %q", text, err)
			}
		}
		if len(result.Sources) != 3 || result.Sources[1].Err == nil {
			t.Errorf("%+v", result)
		}
		if _, err := Run(t.Context(), Plan{Want: want}, newStage(t).put, nil); !errors.Is(err, ErrNoSource) {
			t.Errorf("no sources: %v", err)
		}
		if _, err := Run(t.Context(), Plan{}, newStage(t).put, nil); err != nil {
			t.Errorf("nothing wanted: %v", err)
		}
	})
}

// A view that lacks a leaf, or has another size of it, is not the cut that the manifest is of.
func TestSourceWithAnotherLeafIsDropped(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(sizes(20, 10_000)...)
		longer, shorter, absent := shard{}, shard{}, shard{}
		for leaf, b := range leaves {
			longer[leaf], shorter[leaf] = append(b[:len(b):len(b)], 0), b[:len(b)-1]
		}
		a, s := &replica{name: "a", shard: leaves, speed: 1e5}, newStage(t)
		others := []*replica{{name: "longer", shard: longer}, {name: "shorter", shard: shorter}, {name: "absent", shard: absent}}
		result, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(append(others, a)...)}, s.put, nil)
		if err != nil {
			t.Fatal(err)
		}
		complete(t, s, want, a)
		for _, r := range result.Sources[:3] {
			if r.Err == nil || r.Bytes > 0 {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestSinkThatFailsEndsTheRunAndBlamesNobody(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(sizes(50, 100_000)...)
		a, b := &replica{name: "a", shard: leaves, speed: 1e6}, &replica{name: "b", shard: leaves, speed: 1e6}
		s := newStage(t)
		s.fails = errors.New("disk full")
		result, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(a, b)}, s.put, nil)
		if !errors.Is(err, s.fails) || errors.Is(err, ErrNoSource) {
			t.Fatal(err)
		}
		for _, r := range result.Sources {
			if r.Err != nil {
				t.Errorf("%+v", r)
			}
		}
		complete(t, s, nil, a, b)
	})
}

func TestCancelEndsAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(sizes(50, 100_000)...)
		a, b := &replica{name: "a", shard: leaves, hangs: 3}, &replica{name: "b", shard: leaves, hangs: 3}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("job was cancelled"))
		defer cancel()
		began, s := time.Now(), newStage(t)
		result, err := Run(ctx, Plan{Want: want, Sources: sourcesOf(a, b)}, s.put, nil)
		if took := time.Since(began); took != 3*time.Second || !strings.Contains(fmt.Sprint(err), "job was cancelled") {
			t.Errorf("after %v: %v", took, err)
		}
		if result.Leaves != len(s.got) || len(s.got) == 0 {
			t.Errorf("result says %d leaves, %d were stored", result.Leaves, len(s.got))
		}
		complete(t, s, want[:len(s.got)], a, b)
	})
}

// What a run left is all that the next one fetches, whatever the order.
func TestRunGoesOnWithWhatIsMissing(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(sizes(60, 100_000)...)
		s := newStage(t)
		_, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(&replica{name: "a", shard: leaves, dies: 5})}, s.put, nil)
		if err == nil || len(s.got) == 0 {
			t.Fatal(err)
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(e digest.Entry) bool { return s.got[e.Leaf] != "" })
		b := &replica{name: "b", shard: leaves}
		result, err := Run(t.Context(), Plan{Want: missing, Sources: sourcesOf(b)}, s.put, nil)
		if err != nil || result.Leaves != len(missing) {
			t.Fatal(result, err)
		}
		complete(t, s, want, b)
	})
}
