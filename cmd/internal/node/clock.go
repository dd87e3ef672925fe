package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// clockPoll is how often the peers' clocks are compared with ours.
	clockPoll = 10 * time.Second
	// clockAgain is how soon a point without a time may make us compare again.
	clockAgain = time.Second
	// clockTimeout bounds a comparison.
	clockTimeout = time.Second
)

// errClockAnswer is returned for an answer that is no time.
var errClockAnswer = errors.New("malformed clock answer")

// clockWatch compares this node's wall clock with its peers'. A node that is
// further from the majority than the limit does not stamp points: their times
// would be wrong for ever.
//
// Between two comparisons a clock that is set shows as a step against the
// monotonic clock. What a peer said last counts for as long as it is a node of
// the cluster: one that is off does not become right because another is down.
type clockWatch struct {
	limit time.Duration
	peers func() []membership.NodeID
	ask   func(ctx context.Context, peer membership.NodeID) ([]byte, error)
	now   func() time.Time
	log   *slog.Logger

	comparing chan struct{} // has room for the one comparison that runs

	mu     sync.Mutex
	origin moment                              // guarded by mu; of the first look at the clock
	ahead  map[membership.NodeID]time.Duration // guarded by mu; of this clock before any step since origin
	asked  []membership.NodeID                 // guarded by mu; by the last comparison, whether they answered or not
	last   time.Time                           // guarded by mu; end of the last comparison, by the monotonic clock
	told   bool                                // guarded by mu; the log says that this clock is off
}

// moment is one instant on both clocks.
type moment struct {
	wall      time.Time // without a monotonic reading
	monotonic time.Time
}

func (w *clockWatch) moment() moment { return moment{w.now().Round(0), time.Now()} }

// stepped is by how much the wall clock was set since origin. mu is held.
func (w *clockWatch) stepped() time.Duration {
	m := w.moment()
	if w.origin.monotonic.IsZero() {
		w.origin = m
	}
	return m.wall.Sub(w.origin.wall) - m.monotonic.Sub(w.origin.monotonic)
}

// Offset is how far this clock is ahead of the majority's; known is false while
// no peer has answered.
func (w *clockWatch) Offset() (offset time.Duration, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.offset()
}

// offset is Offset with mu held.
func (w *clockWatch) offset() (time.Duration, bool) {
	stepped := w.stepped()
	ahead := []time.Duration{0} // this node against itself
	for _, d := range w.ahead {
		ahead = append(ahead, d+stepped)
	}
	return majorityOffset(ahead), len(ahead) > 1
}

// stamp gives the time of this clock for what stays: points, retention. It is
// refused while the clock is known to be off; where that is not known, or looks
// as if it were, the peers are asked first.
func (w *clockWatch) stamp() (time.Time, error) {
	if peers := w.peers(); len(peers) > 0 && !w.agreed(peers) {
		w.compareAgain(peers)
	}
	offset, _ := w.Offset() // 0 if nobody answers: then there is no majority that could commit it either
	if offset.Abs() > w.limit {
		return time.Time{}, clockOffError(offset, w.limit)
	}
	return w.now(), nil
}

func clockOffError(offset, limit time.Duration) error {
	side := "ahead of"
	if offset < 0 {
		side = "behind"
	}
	return fmt.Errorf("its clock is %s %s those of the majority, max_clock_offset is %s", offset.Abs().Round(time.Millisecond), side, limit)
}

func (w *clockWatch) run(ctx context.Context) {
	tick := time.NewTicker(clockPoll)
	defer tick.Stop()
	for {
		w.compare(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// agreed reports whether these peers were asked and this clock was right, and
// is so as far as can be seen here.
func (w *clockWatch) agreed(peers []membership.NodeID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	offset, known := w.offset()
	return known && offset.Abs() <= w.limit && w.askedAll(peers)
}

// askedAll is called with mu held.
func (w *clockWatch) askedAll(peers []membership.NodeID) bool {
	return !slices.ContainsFunc(peers, func(p membership.NodeID) bool { return !slices.Contains(w.asked, p) })
}

// compareAgain compares unless that was done just now, by whomever.
func (w *clockWatch) compareAgain(peers []membership.NodeID) {
	w.comparing <- struct{}{}
	defer func() { <-w.comparing }()
	w.mu.Lock()
	fresh := !w.last.IsZero() && time.Since(w.last) < clockAgain && w.askedAll(peers)
	w.mu.Unlock()
	if !fresh {
		w.compareLocked(context.Background())
	}
}

func (w *clockWatch) compare(ctx context.Context) {
	select {
	case w.comparing <- struct{}{}:
		defer func() { <-w.comparing }()
		w.compareLocked(ctx)
	case <-ctx.Done():
	}
}

// compareLocked asks all peers at once. It is the one comparison that runs.
func (w *clockWatch) compareLocked(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	peers := w.peers()
	found := make([]time.Duration, len(peers))
	errs := make([]error, len(peers))
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() { found[i], errs[i] = w.against(ctx, p) })
	}
	wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	stepped := w.stepped()
	ahead := make(map[membership.NodeID]time.Duration, len(peers))
	for i, p := range peers {
		if before, ok := w.ahead[p]; errs[i] == nil {
			ahead[p] = found[i] - stepped
		} else if ok {
			ahead[p] = before
		}
	}
	w.ahead, w.asked, w.last = ahead, peers, time.Now()
	w.tell()
}

// tell logs when the clock has gone off, and when it is right again. mu is held.
func (w *clockWatch) tell() {
	offset, _ := w.offset()
	off := offset.Abs() > w.limit
	switch {
	case off && !w.told:
		w.log.Warn("this node's clock is off: it gives no times to points until it is set", "ahead", offset, "limit", w.limit)
	case !off && w.told:
		w.log.Info("this node's clock agrees with the majority again", "ahead", offset)
	}
	w.told = off
}

// against is how far this clock is ahead of a peer's, at the least: an answer is
// exact to half its round trip.
func (w *clockWatch) against(ctx context.Context, peer membership.NodeID) (time.Duration, error) {
	asked, began := w.now(), time.Now()
	answer, err := w.ask(ctx, peer)
	if err != nil {
		return 0, err
	}
	if len(answer) != 8 {
		return 0, errClockAnswer
	}
	half := time.Since(began) / 2
	ahead := asked.Add(half).Sub(time.Unix(0, int64(binary.BigEndian.Uint64(answer))))
	if ahead < 0 {
		return min(0, ahead+half), nil
	}
	return max(0, ahead-half), nil
}

// answer is what a peer's question gets.
func (w *clockWatch) answer() []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(w.now().UnixNano()))
}

// majorityOffset is the median: with two nodes that disagree neither is the
// majority, so the smaller distance counts.
func majorityOffset(ahead []time.Duration) time.Duration {
	sorted := slices.Clone(ahead)
	slices.Sort(sorted)
	low, high := sorted[(len(sorted)-1)/2], sorted[len(sorted)/2]
	if low.Abs() < high.Abs() {
		return low
	}
	return high
}
