package transfer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"pgregory.net/rapid"
)

// simSource is a source of the simulation: it delivers its batches one leaf after the other at its speed.
type simSource struct {
	info  SourceInfo
	speed float64       // bytes/s; 0: it sends nothing
	delay time.Duration // before its first byte
	dies  time.Duration // after the start; 0: never
	busy  int           // it refuses so many batches first
	lies  bool          // every leaf has wrong content
}

// simResult is how a simulation ended.
type simResult struct {
	bytes  []uint64        // stored of each source
	given  [][]digest.Leaf // asked of each source, in order
	took   time.Duration
	err    error
	wasted uint64
}

type simBatch struct {
	Batch
	next  int
	ready time.Time // when its next leaf is whole
}

// simulate drives a Scheduler until it is done or gone. It fails the test when nothing goes on and nothing is said.
func simulate(t rapid.TB, want []digest.Entry, sources []simSource, leaderShare float64) simResult {
	infos := make([]SourceInfo, len(sources))
	names := make([]string, len(sources))
	for i := range sources {
		infos[i], names[i] = sources[i].info, fmt.Sprint("n", i)
	}
	s := NewScheduler(want, infos, leaderShare)
	start := time.Unix(0, 0)
	now := start
	out := simResult{bytes: make([]uint64, len(sources)), given: make([][]digest.Leaf, len(sources))}
	free := make([]time.Time, len(sources)) // when the source has sent what it was asked for
	var under []*simBatch
	size := func(b *simBatch) time.Duration {
		return time.Duration(float64(b.Leaves[b.next].Bytes) / sources[b.Source].speed * 1e9)
	}
	end := func(b *simBatch, err error) {
		under = slices.DeleteFunc(under, func(o *simBatch) bool { return o == b })
		s.Ended(now, b.ID, err)
	}
	for round := 0; !s.Done(); round++ {
		if round > 200_000 {
			t.Fatalf("no end after %v: %d of %d leaves", now.Sub(start), s.stored, len(want))
		}
		for _, id := range s.Useless() {
			at := slices.IndexFunc(under, func(b *simBatch) bool { return b.ID == id })
			free[under[at].Source] = now
			end(under[at], nil)
		}
		if out.err = s.Gone(names); out.err != nil {
			break
		}
		for _, b := range s.Assign(now) {
			checkBatch(t, b, out.given[b.Source])
			s.Begun(now, b.ID)
			source := &sources[b.Source]
			sim := &simBatch{Batch: b}
			under = append(under, sim)
			for _, e := range b.Leaves {
				out.given[b.Source] = append(out.given[b.Source], e.Leaf)
			}
			if source.busy > 0 {
				source.busy--
				end(sim, ErrBusy)
				continue
			}
			if source.speed > 0 {
				begin := now.Add(source.delay)
				source.delay = 0
				if free[b.Source].After(begin) {
					begin = free[b.Source]
				}
				sim.ready = begin.Add(size(sim))
				free[b.Source] = begin.Add(time.Duration(float64(b.Bytes) / source.speed * 1e9))
			}
		}
		now = step(t, s, now, start, sources, under, &out, size, end)
	}
	out.took = now.Sub(start)
	for i := range sources {
		out.bytes[i] = s.sources[i].stored
	}
	return out
}

// step moves the time to the next thing that happens.
func step(t rapid.TB, s *Scheduler, now, start time.Time, sources []simSource, under []*simBatch, out *simResult,
	size func(*simBatch) time.Duration, end func(*simBatch, error)) time.Time {
	resting := slices.ContainsFunc(s.sources, func(q sourceState) bool { return q.dropped == nil && now.Before(q.busyUntil) })
	if len(under) == 0 && !resting && !s.Done() && s.Gone(make([]string, len(sources))) == nil {
		if len(s.Assign(now)) == 0 {
			t.Fatalf("stuck at %v: %d of %d leaves, nothing under way", now.Sub(start), s.stored, len(s.leaves))
		}
		t.Fatalf("Assign gives more when it is asked again")
	}
	next := now.Add(tick)
	var first *simBatch
	for _, b := range under {
		if !b.ready.IsZero() && b.ready.Before(next) {
			next, first = b.ready, b
		}
	}
	for _, b := range slices.Clone(under) {
		source := sources[b.Source]
		silent := source.speed == 0 && next.Sub(start) > DefaultSilence
		if silent || source.dies > 0 && next.Sub(start) > source.dies {
			end(b, errors.New("died"))
			if b == first {
				first = nil
			}
		}
	}
	if first == nil {
		return next
	}
	e := first.Leaves[first.next]
	s.Moved(next, first.ID, int(e.Bytes))
	if s.Claim(first.ID, first.next) {
		s.Stored(first.ID, first.next, !sources[first.Source].lies)
		if sources[first.Source].lies {
			end(first, ErrWrongContent)
			return next
		}
	} else {
		out.wasted += e.Bytes
	}
	if first.next++; first.next == len(first.Leaves) {
		end(first, nil)
	} else {
		first.ready = first.ready.Add(size(first))
	}
	return next
}

// checkBatch holds for every batch: it has leaves, is bounded, and is in order.
func checkBatch(t rapid.TB, b Batch, _ []digest.Leaf) {
	if len(b.Leaves) == 0 || len(b.Leaves) > maxBatchLeaves || len(b.Leaves) > 1 && b.Bytes > maxBatchBytes {
		t.Fatalf("batch of %d leaves, %d bytes", len(b.Leaves), b.Bytes)
	}
	if !slices.IsSortedFunc(b.Leaves, newestFirst) {
		t.Fatalf("batch is not newest first: %v", b.Leaves)
	}
}

// manifest makes leaves of the sizes given, 16 a window.
func manifest(sizes ...uint64) (want []digest.Entry) {
	for i, size := range sizes {
		leaf := digest.Leaf{Window: int64(i/digest.Slots) - 2, Slot: uint8(i % digest.Slots)}
		want = append(want, digest.Entry{Leaf: leaf, LeafDigest: digest.LeafDigest{Bytes: size, Points: 1, ID: digest.ID{byte(i), byte(i >> 8)}}})
	}
	return want
}

func total(want []digest.Entry) (bytes uint64) {
	for _, e := range want {
		bytes += e.Bytes
	}
	return bytes
}

var _ rapid.TB = (*testing.T)(nil)
