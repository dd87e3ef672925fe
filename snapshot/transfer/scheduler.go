package transfer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// The bounds of what a source is asked for at once.
const (
	maxBatchBytes = 2 << 20 // unless one leaf is larger
	lanes         = 2       // batches of one source under way: one is read and sent while the other is stored
	batchTime     = 250 * time.Millisecond
)

// A busy source is asked again after a pause, which doubles, and dropped when it was busy for too long.
const (
	busyPause    = 250 * time.Millisecond
	maxBusyPause = 4 * time.Second
	maxBusy      = 60 * time.Second
)

// Scheduler says which source is asked for which leaves next. It is pure: it starts nothing, and the time is passed
// in. It is not safe for concurrent use.
//
//  1. Sources have ranks: followers of the same zone, followers elsewhere, the leader. How busy they
//     are shows in their speed.
//  2. The first rank takes leaves from the front (newest windows), the others from the back, and only what they will
//     have delivered before the first rank would have finished everything.
//  3. The leader is never given more than its share while a follower lives.
//  4. A source that is as fast as others leaves them their part (keepsFor), so that equal sources give 30-70%.
//  5. Batches shrink with what is left, so that all sources end together; then idle sources take over leaves that a
//     slow one was asked for (steal.go), and whoever is first wins.
//
// Rejected: leaves divided among the sources at the start (the slowest source would set the time, and a dead one's
// part would come last).
type Scheduler struct {
	leaderShare float64
	leaves      []leafState // newest first
	waiting     queue
	sources     []sourceState
	batches     map[int]*batchState
	nextBatch   int
	total       uint64
	stored      int
}

type leafState struct {
	entry   digest.Entry
	holders int // batches under way that are to bring it
	storing bool
	stored  bool
}

type sourceState struct {
	rank    int
	leader  bool
	speed   speed
	dropped error
	stored  uint64 // bytes of leaves
	leaves  int

	busySince, busyUntil time.Time // zero: it did not say that it is busy
	busyCount            int
}

type batchState struct {
	source int
	leaves []int
	begun  bool
}

// Batch is what one source is to be asked for.
type Batch struct {
	ID     int
	Source int // index into the sources given
	Leaves []digest.Entry
	Bytes  uint64
}

// NewScheduler makes a Scheduler of the wanted leaves, in any order, and the sources, of which it uses what is known
// of them, never the Source.
func NewScheduler(want []digest.Entry, sources []SourceInfo, leaderShare float64) *Scheduler {
	s := &Scheduler{leaderShare: min(max(leaderShare, 0), 1), batches: map[int]*batchState{}}
	want = slices.Clone(want)
	slices.SortFunc(want, newestFirst)
	for i, e := range want {
		s.leaves = append(s.leaves, leafState{entry: e})
		s.waiting.waiting = append(s.waiting.waiting, i)
		s.waiting.bytes += e.Bytes
	}
	s.total = s.waiting.bytes
	for _, i := range sources {
		state := sourceState{leader: i.Leader, rank: rankNear}
		if i.Leader {
			state.rank = rankLeader
		} else if !i.SameZone {
			state.rank = rankFar
		}
		s.sources = append(s.sources, state)
	}
	return s
}

// Begun says that a batch is on its way: its source's time counts from here.
func (s *Scheduler) Begun(now time.Time, batch int) {
	b := s.batches[batch]
	b.begun = true
	s.sources[b.source].speed.begin(now)
}

// Moved counts bytes of leaves that a batch brought.
func (s *Scheduler) Moved(now time.Time, batch, leafBytes int) {
	source := &s.sources[s.batches[batch].source]
	source.speed.moved(now, leafBytes)
	source.busySince, source.busyCount = time.Time{}, 0
}

// Claim asks whether the i-th leaf of a batch is to be stored: not if another source brought it before. Stored or
// Ended must follow.
func (s *Scheduler) Claim(batch, i int) bool {
	leaf := &s.leaves[s.batches[batch].leaves[i]]
	if leaf.stored || leaf.storing {
		return false
	}
	leaf.storing = true
	return true
}

// Stored says how the storing of a claimed leaf ended: with ok false it is wanted again. It reports whether that may
// have made another batch useless, or all leaves are stored.
func (s *Scheduler) Stored(batch, i int, ok bool) (look bool) {
	b := s.batches[batch]
	leaf := &s.leaves[b.leaves[i]]
	leaf.storing, leaf.stored = false, ok
	if ok {
		s.stored++
		source := &s.sources[b.source]
		source.stored += leaf.entry.Bytes
		source.leaves++
	} else if leaf.holders == 0 {
		s.waiting.push(b.leaves[i], leaf.entry.Bytes)
	}
	return !ok || leaf.holders > 1 || s.Done()
}

// Ended says that a batch is over: what it did not bring goes back. An error drops the source, but for ErrBusy.
func (s *Scheduler) Ended(now time.Time, batch int, err error) {
	b := s.batches[batch]
	delete(s.batches, batch)
	source := &s.sources[b.source]
	if b.begun {
		source.speed.end(now)
	}
	for _, i := range b.leaves {
		leaf := &s.leaves[i]
		if leaf.holders--; leaf.holders == 0 && !leaf.stored && !leaf.storing {
			s.waiting.push(i, leaf.entry.Bytes)
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrBusy):
		s.busy(now, source, err)
	default:
		s.Drop(b.source, err)
	}
}

// busy lets a source rest, or drops it.
func (s *Scheduler) busy(now time.Time, source *sourceState, err error) {
	if source.busySince.IsZero() {
		source.busySince = now
	}
	if waited := now.Sub(source.busySince); waited > maxBusy {
		source.dropped = fmt.Errorf("for %v: %w", waited.Round(time.Second), err)
		return
	}
	source.busyUntil = now.Add(min(busyPause<<min(source.busyCount, 10), maxBusyPause))
	source.busyCount++
}

// Drop says that a source is not to be asked any more. Its batches are to be ended.
func (s *Scheduler) Drop(source int, err error) {
	if s.sources[source].dropped == nil {
		s.sources[source].dropped = err
	}
}

// Done reports whether every leaf is stored.
func (s *Scheduler) Done() bool { return s.stored == len(s.leaves) }

// Gone is why no source can bring what is missing, once every source is dropped and nothing is under way.
func (s *Scheduler) Gone(names []string) error {
	if s.Done() || len(s.batches) > 0 {
		return nil
	}
	gone := &SourcesGone{Missing: len(s.leaves) - s.stored}
	for i, source := range s.sources {
		if source.dropped == nil {
			return nil
		}
		gone.Reasons = append(gone.Reasons, Dropped{Source: names[i], Err: source.dropped})
	}
	return gone
}

// Useless lists the batches that are to be ended: all their leaves came from elsewhere, or their source is dropped.
func (s *Scheduler) Useless() (batches []int) {
	for id, b := range s.batches {
		wanted := func(i int) bool { return !s.leaves[i].stored }
		if s.sources[b.source].dropped != nil || !slices.ContainsFunc(b.leaves, wanted) {
			batches = append(batches, id)
		}
	}
	slices.Sort(batches)
	return batches
}
