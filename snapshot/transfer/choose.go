package transfer

import "time"

// A source leaves others that are at least comparable of its speed their part: keepPart of all bytes over the number
// of such sources. With two it is a third, so that neither ends with more than 67%. Comparable sources would nearly get
// there by themselves: it costs little, but keeps one that was a little slow to begin from finding nothing left.
//
// A source counts as slower only after trustAfter of busy time: on a busy machine one of two equal sources easily gets
// nothing done for a part of a second, which is as long as a small group takes.
const (
	keepPart   = 2.0 / 3
	comparable = 0.4
	trustAfter = time.Second
)

// mayGive bounds what a source may be given now, from its rank alone: sources of the first rank are unbounded; others
// give only what the first rank would finish later; the leader no more than its share.
func (s *Scheduler) mayGive(i int, rates []float64) uint64 {
	first := s.firstRank()
	if s.sources[i].rank == first {
		return unlimited
	}
	allowance := s.laterThan(first, i, rates)
	if s.sources[i].leader {
		allowance = min(allowance, minus(uint64(s.leaderShare*float64(s.total)), s.given(i)))
	}
	return allowance
}

// laterThan is how much source i can deliver before the sources of the first rank, which go on meanwhile, would have
// finished all the rest: x with (inFlight + x) / rate = (left - x) / firstRate.
func (s *Scheduler) laterThan(first, i int, rates []float64) uint64 {
	left, firstRate := float64(s.waiting.bytes), 0.0
	for j := range s.sources {
		if s.sources[j].rank == first && s.sources[j].dropped == nil {
			left += float64(s.inFlight(j))
			firstRate += rates[j]
		}
	}
	part := rates[i] / firstRate
	return uint64(max(0, (part*left-float64(s.inFlight(i)))/(1+part)))
}

// keepsFor bounds what a source may be given so that comparable ones get their part. Of those that may give now, the
// one that gave least is always given its next leaf: somebody always goes on.
func (s *Scheduler) keepsFor(now time.Time, i int, rates []float64) uint64 {
	smallest := uint64(unlimited)
	for _, leaf := range s.waiting.waiting {
		smallest = min(smallest, s.leaves[leaf].entry.Bytes)
	}
	var others []int
	least := true
	for j := range s.sources {
		if j == i || !s.usable(now, j) {
			continue
		}
		if rates[j] < comparable*rates[i] && s.sources[j].speed.seconds > trustAfter.Seconds() {
			continue
		}
		if s.sources[j].rank != s.sources[i].rank && !s.sources[j].leader && !s.sources[i].leader {
			continue
		}
		if s.mayGive(j, rates) < smallest {
			continue
		}
		others = append(others, j)
		least = least && s.given(i) <= s.given(j)
	}
	if len(others) == 0 {
		return unlimited
	}
	part := uint64(keepPart * float64(s.total) / float64(len(others)+1))
	var kept uint64
	for _, j := range others {
		kept += minus(min(part, s.mostOf(j)), s.given(j))
	}
	allowance := minus(s.waiting.bytes, kept)
	if least {
		next := s.waiting.next(s.sources[i].rank != s.firstRank())
		allowance = max(allowance, s.leaves[next].entry.Bytes)
	}
	return allowance
}

// mostOf is the most that a source may give of all bytes.
func (s *Scheduler) mostOf(i int) uint64 {
	if s.sources[i].leader && s.firstRank() != rankLeader {
		return uint64(s.leaderShare * float64(s.total))
	}
	return s.total
}

func minus(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}
