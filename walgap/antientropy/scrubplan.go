package antientropy

import (
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// ScrubChunk is the most that one step reads.
	ScrubChunk = 4 << 20
	// ScrubIdle is the longest that a step waits, so that settings and parts that changed are seen.
	ScrubIdle = 10 * time.Second

	scrubShare   = 0.9       // of the interval: the rest is for what comes in between
	minScrubRate = 64 << 10  // bytes/s: what is slower is as good as free
	overdueIn    = time.Hour // a part whose deadline has passed or is close is to be read within this, or a part of the interval
	restShare    = 0.5       // of the interval: that a part is read anew at most before its deadline
	partOverhead = 64 << 10  // bytes that a part counts at least
)

// Part is one thing that a scrub reads from its begin to its end: a shard, the log of a group, the votes.
type Part struct {
	Name  string
	Bytes int64     // about
	Since time.Time // it has been on this node since
}

// Scrub is how far the scrub of a node has got. It is kept over restarts, as JSON.
type Scrub struct {
	Part      string               `json:"part,omitempty"`      // that is being read, "": none
	Cursor    string               `json:"cursor,omitempty"`    // where in it
	Read      int64                `json:"read,omitempty"`      // bytes of it, up to the cursor
	StartedAt time.Time            `json:"started_at,omitzero"` // of the part
	Done      map[string]time.Time `json:"done,omitempty"`      // when a pass that read the part to its end began
}

// ScrubStep is what to do next.
type ScrubStep struct {
	Part     string // to read of, "": nothing is due, ask again after Wait
	Cursor   string
	MaxBytes int64
	Wait     time.Duration // with no part
	Rate     float64       // bytes/s that it comes to
	Late     bool          // the interval cannot be kept at the rate that is allowed
}

// NextScrub is the next step of a node's scrub. It is pure.
//
//  1. Each part has a deadline: the interval after the begin of the last pass that read all of it.
//  2. The rate is the lowest at which every deadline is met when parts are read in the order of their deadlines: that of a
//     part, and of all before it, over the time left. So a scrub is even, picks up after a stop, and hurries no more than
//     it must; never above the operator's rate.
//  3. A part that was begun is read to its end first; one that was read rests until half of the interval before its deadline.
func NextScrub(now time.Time, s Settings, state Scrub, parts []Part) ScrubStep {
	if !s.Enabled || s.ScrubInterval <= 0 || len(parts) == 0 {
		return ScrubStep{Wait: ScrubIdle}
	}
	queue := slices.Clone(parts)
	slices.SortStableFunc(queue, func(a, b Part) int {
		if first := (b.Name == state.Part) != (a.Name == state.Part); first {
			if a.Name == state.Part {
				return -1
			}
			return 1
		}
		if c := state.deadline(a, s).Compare(state.deadline(b, s)); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	head := queue[0]
	if !state.Done[head.Name].IsZero() && head.Name != state.Part {
		if rest := state.deadline(head, s).Add(-share(s.ScrubInterval, restShare)).Sub(now); rest > 0 {
			return ScrubStep{Wait: min(rest, ScrubIdle)}
		}
	}
	step := ScrubStep{Part: head.Name, Rate: state.rate(now, s, queue)}
	if head.Name == state.Part {
		step.Cursor = state.Cursor
	}
	if allowed := float64(s.Rate); s.Rate > 0 && step.Rate > allowed {
		step.Rate, step.Late = allowed, true
	}
	step.MaxBytes = min(ScrubChunk, max(minScrubRate, int64(step.Rate)))
	if s.Rate > 0 {
		step.MaxBytes = min(step.MaxBytes, max(s.Rate, 1))
	}
	return step
}

// Pause is how long to wait after the step, which read so many bytes and took so long, for its rate to be kept.
func (s ScrubStep) Pause(bytes int64, took time.Duration) time.Duration {
	if s.Rate <= 0 {
		return s.Wait
	}
	return max(share(time.Second, float64(bytes)/s.Rate)-took, 0)
}

// deadline is when a part is to have been read again.
func (s *Scrub) deadline(p Part, settings Settings) time.Time {
	last := s.Done[p.Name]
	if last.IsZero() {
		last = p.Since
	}
	return last.Add(share(settings.ScrubInterval, scrubShare))
}

// rate is the lowest at which all deadlines of a queue are met.
func (s *Scrub) rate(now time.Time, settings Settings, queue []Part) float64 {
	rate, bytes := float64(minScrubRate), float64(0)
	soonest := min(overdueIn, share(settings.ScrubInterval, 1-scrubShare))
	for _, p := range queue {
		left := max(p.Bytes, partOverhead)
		if p.Name == s.Part {
			left = max(left-s.Read, 0)
		}
		bytes += float64(left)
		rate = max(rate, bytes/max(s.deadline(p, settings).Sub(now), soonest).Seconds())
	}
	return rate
}

// Advance notes that a step was made: bytes were read, and next is the cursor behind them, "" at the end of the part.
func (s *Scrub) Advance(now time.Time, step ScrubStep, next string, bytes int64) {
	if s.Part != step.Part {
		s.Part, s.Read, s.StartedAt = step.Part, 0, now
	}
	s.Cursor, s.Read = next, s.Read+bytes
	if next != "" {
		return
	}
	if s.Done == nil {
		s.Done = map[string]time.Time{}
	}
	s.Done[s.Part] = s.StartedAt
	s.Part, s.Read, s.StartedAt = "", 0, time.Time{}
}

// Forget drops what is known of parts that are not on this node any more.
func (s *Scrub) Forget(parts []Part) {
	known := func(name string) bool { return slices.ContainsFunc(parts, func(p Part) bool { return p.Name == name }) }
	maps.DeleteFunc(s.Done, func(name string, _ time.Time) bool { return !known(name) })
	if s.Part != "" && !known(s.Part) {
		s.Part, s.Cursor, s.Read, s.StartedAt = "", "", 0, time.Time{}
	}
}

func share(d time.Duration, of float64) time.Duration { return time.Duration(float64(d) * of) }
