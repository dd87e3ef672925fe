package node

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// clockPoll is how often the peers' clocks are compared with ours.
	clockPoll = 10 * time.Second
	// clockTimeout bounds one question; an answer is exact to half its round trip.
	clockTimeout = time.Second
)

// errClockAnswer is returned for an answer that is no time.
var errClockAnswer = errors.New("malformed clock answer")

// clockWatch compares this node's wall clock with its peers'. A node that is
// further from the majority than the limit does not stamp points: their times
// would be wrong for ever.
type clockWatch struct {
	limit time.Duration
	peers func() []membership.NodeID
	ask   func(ctx context.Context, peer membership.NodeID) ([]byte, error)
	now   func() time.Time
	log   *slog.Logger

	mu     sync.Mutex
	offset time.Duration // guarded by mu: of this node against the median of all
	known  bool          // guarded by mu
}

// Offset is how far this clock is ahead of the majority's; known is false while
// no peer has answered.
func (w *clockWatch) Offset() (offset time.Duration, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.offset, w.known
}

// MayStamp reports whether this node's clock may go into points.
func (w *clockWatch) MayStamp() bool {
	offset, known := w.Offset()
	return !known || offset.Abs() <= w.limit
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

func (w *clockWatch) compare(ctx context.Context) {
	ahead := []time.Duration{0} // this node against itself
	for _, p := range w.peers() {
		if d, err := w.against(ctx, p); err == nil {
			ahead = append(ahead, d)
		}
	}
	before := w.MayStamp()
	w.mu.Lock()
	w.offset, w.known = majorityOffset(ahead), len(ahead) > 1
	offset := w.offset
	w.mu.Unlock()
	switch after := w.MayStamp(); {
	case before && !after:
		w.log.Warn("this node's clock is off: it gives no times to points until it is set", "ahead", offset, "limit", w.limit)
	case after && !before:
		w.log.Info("this node's clock agrees with the majority again", "ahead", offset)
	}
}

// against is how far this clock is ahead of a peer's.
func (w *clockWatch) against(ctx context.Context, peer membership.NodeID) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	asked := w.now()
	answer, err := w.ask(ctx, peer)
	if err != nil {
		return 0, err
	}
	if len(answer) != 8 {
		return 0, errClockAnswer
	}
	middle := asked.Add(w.now().Sub(asked) / 2)
	return middle.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(answer)))), nil
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
