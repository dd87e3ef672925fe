package transfer

import "time"

// An idle source takes over leaves that another one was asked for when that pays: the other one would need stealFactor
// times as long, and at least stealAfter longer. Both may then bring them; the first counts.
const (
	stealFactor = 2
	stealAfter  = 500 * time.Millisecond
)

// steal makes a batch for an idle source of the leaves that would come last from a slow one. A leaf is given to at
// most two sources, and nothing is stolen for a source that may give nothing (the leader beyond its share).
func (s *Scheduler) steal(now time.Time, i int, rates []float64) (Batch, bool) {
	if s.underWay(i) > 0 {
		return Batch{}, false
	}
	victim, worst := 0, 0.0
	for id, b := range s.batches {
		if b.source == i || !b.begun {
			continue
		}
		left := s.open(b)
		need := seconds(s.inFlight(b.source), rates[b.source])
		mine := seconds(sizeOf(s.leaves, left), rates[i])
		if len(left) == 0 || need < stealFactor*mine || need < mine+stealAfter.Seconds() {
			continue
		}
		if need > worst || need == worst && id < victim {
			victim, worst = id, need
		}
	}
	if victim == 0 {
		return Batch{}, false
	}
	left := s.open(s.batches[victim])
	part := rates[i] / (rates[i] + rates[s.batches[victim].source])
	keep := min(int(float64(len(left))*(1-part)), len(left)-1)
	var taken []int
	var bytes uint64
	allowance := s.stealable(i)
	for _, leaf := range left[keep:] {
		size := s.leaves[leaf].entry.Bytes
		if size > allowance-bytes || len(taken) > 0 && bytes+size > maxBatchBytes {
			break
		}
		taken, bytes = append(taken, leaf), bytes+size
	}
	if len(taken) == 0 {
		return Batch{}, false
	}
	return s.batch(i, taken, bytes), true
}

// stealable is how much a source may give of what another one was asked for.
func (s *Scheduler) stealable(i int) uint64 {
	if most := s.mostOf(i); most < s.total {
		return minus(most, s.given(i))
	}
	return unlimited
}

// open lists the leaves of a batch that nobody else was asked for and nobody brought.
func (s *Scheduler) open(b *batchState) (left []int) {
	for _, leaf := range b.leaves {
		if l := &s.leaves[leaf]; l.holders == 1 && !l.stored && !l.storing {
			left = append(left, leaf)
		}
	}
	return left
}

func sizeOf(leaves []leafState, some []int) (bytes uint64) {
	for _, i := range some {
		bytes += leaves[i].entry.Bytes
	}
	return bytes
}

// seconds is how long bytes take.
func seconds(bytes uint64, rate float64) float64 { return float64(bytes) / rate }
