package transfer

import (
	"math"
	"slices"
	"time"
)

// rank is the order in which sources are asked.
const (
	rankNear = iota // a follower in the target's zone
	rankFar         // a follower elsewhere
	rankLeader
)

// firstBatchBytes is what a source is asked for as long as its speed is not known.
const firstBatchBytes = 256 << 10

// guided is the part of what is left that one batch takes at most, over the source's part of the speed: later batches
// are smaller, so that all end together.
const guided = 4

// Assign gives batches to all sources that should have one now. The caller starts them.
func (s *Scheduler) Assign(now time.Time) (started []Batch) {
	refused := make([]bool, len(s.sources))
	for {
		i := s.idlest(now, refused)
		if i < 0 {
			return started
		}
		b, ok := s.give(now, i)
		if !ok {
			refused[i] = true
			continue
		}
		started = append(started, b)
		clear(refused) // one source's batch may be what another one waited for
	}
}

// idlest is the source to ask next: the one with the fewest batches under way, then by rank; -1: none.
func (s *Scheduler) idlest(now time.Time, refused []bool) int {
	best, bestKey := -1, [2]int{}
	for i := range s.sources {
		key := [2]int{s.underWay(i), s.sources[i].rank}
		if refused[i] || !s.usable(now, i) || key[0] >= lanes {
			continue
		}
		if best < 0 || slices.Compare(key[:], bestKey[:]) < 0 {
			best, bestKey = i, key
		}
	}
	return best
}

// usable: not dropped, and not resting.
func (s *Scheduler) usable(now time.Time, i int) bool {
	return s.sources[i].dropped == nil && !now.Before(s.sources[i].busyUntil)
}

// underWay counts a source's batches.
func (s *Scheduler) underWay(i int) (n int) {
	for _, b := range s.batches {
		if b.source == i {
			n++
		}
	}
	return n
}

// give makes a batch for a source, if it should have one.
func (s *Scheduler) give(now time.Time, i int) (Batch, bool) {
	rates := s.rates(now)
	if len(s.waiting.waiting) == 0 {
		return s.steal(now, i, rates)
	}
	allowance := min(s.mayGive(i, rates), s.keepsFor(now, i, rates))
	fromBack := s.sources[i].rank != s.firstRank()
	taken, bytes := s.waiting.take(s.leaves, fromBack, s.target(now, i, rates), allowance)
	if len(taken) == 0 {
		return Batch{}, false
	}
	return s.batch(i, taken, bytes), true
}

func (s *Scheduler) batch(source int, leaves []int, bytes uint64) Batch {
	s.nextBatch++
	out := Batch{ID: s.nextBatch, Source: source, Bytes: bytes}
	for _, i := range leaves {
		s.leaves[i].holders++
		out.Leaves = append(out.Leaves, s.leaves[i].entry)
	}
	s.batches[out.ID] = &batchState{source: source, leaves: leaves}
	return out
}

// rates are the speeds in bytes a second, at least 1. A source that was not measured yet counts as the fastest one.
func (s *Scheduler) rates(now time.Time) []float64 {
	rates, fastest := make([]float64, len(s.sources)), 0.0
	for i := range s.sources {
		rate, known := s.sources[i].speed.rate(now)
		if !known {
			rate = -1
		}
		rates[i], fastest = rate, max(fastest, rate, 1)
	}
	for i := range rates {
		if rates[i] < 0 {
			rates[i] = fastest
		}
		rates[i] = max(rates[i], 1)
	}
	return rates
}

// firstRank is the rank that takes from the front: the lowest of a source that was not dropped.
func (s *Scheduler) firstRank() int {
	first := rankLeader
	for _, source := range s.sources {
		if source.dropped == nil {
			first = min(first, source.rank)
		}
	}
	return first
}

// target is how much a batch of this source should hold.
func (s *Scheduler) target(now time.Time, i int, rates []float64) uint64 {
	all := 0.0
	for j, rate := range rates {
		if s.usable(now, j) {
			all += rate
		}
	}
	target := float64(firstBatchBytes)
	if rate, known := s.sources[i].speed.rate(now); known {
		target = rate * batchTime.Seconds()
	}
	target = min(target, float64(s.waiting.bytes)*rates[i]/all/guided)
	return uint64(min(max(target, MinMessageBytes), maxBatchBytes))
}

// inFlight is what a source was asked for and nobody has brought yet.
func (s *Scheduler) inFlight(i int) (bytes uint64) {
	for _, b := range s.batches {
		if b.source != i {
			continue
		}
		for _, leaf := range b.leaves {
			if !s.leaves[leaf].stored {
				bytes += s.leaves[leaf].entry.Bytes
			}
		}
	}
	return bytes
}

// given is what a source brought or was asked for.
func (s *Scheduler) given(i int) uint64 { return s.sources[i].stored + s.inFlight(i) }

// unlimited is an allowance without a bound.
const unlimited = math.MaxUint64
