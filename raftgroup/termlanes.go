package raftgroup

import (
	"context"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// lanesPerPeer is how many frames of term questions are on their way to one
	// peer at once; what arrives meanwhile travels together in the next one.
	lanesPerPeer = 2
	// maxLaneBacklog bounds the questions that wait for one peer; beyond it the
	// peer counts as unreached.
	maxLaneBacklog = 8192
	// termCallTimeout bounds one frame: below the deadline of a peer RPC.
	termCallTimeout = time.Second
)

// termLanes carries the term questions of all groups of a node to the other
// nodes: one frame a peer for all groups that have readers.
type termLanes struct {
	call func(ctx context.Context, to membership.NodeID, payload []byte) ([]byte, error)
	wg   sync.WaitGroup

	mu     sync.Mutex
	lanes  map[membership.NodeID]*termLane // guarded by mu
	closed bool                            // guarded by mu
}

type termLane struct {
	waiting []termQuery // guarded by termLanes.mu
	busy    int         // guarded by termLanes.mu: frames on their way
}

func newTermLanes(call func(context.Context, membership.NodeID, []byte) ([]byte, error)) *termLanes {
	return &termLanes{call: call, lanes: make(map[membership.NodeID]*termLane)}
}

// ask queues the questions; each check hears of every one of its voters.
func (l *termLanes) ask(queries []termQuery) {
	var refused []termQuery
	l.mu.Lock()
	for _, q := range queries {
		lane := l.lanes[q.to]
		if lane == nil {
			lane = &termLane{}
			l.lanes[q.to] = lane
		}
		if l.closed || len(lane.waiting) >= maxLaneBacklog {
			refused = append(refused, q)
			continue
		}
		lane.waiting = append(lane.waiting, q)
		if lane.busy < lanesPerPeer {
			lane.busy++
			l.wg.Go(func() { l.send(q.to, lane) })
		}
	}
	l.mu.Unlock()
	for _, q := range refused {
		q.check.answer(termAnswer{})
	}
}

// send sends frames to one peer until nothing waits for it.
func (l *termLanes) send(to membership.NodeID, lane *termLane) {
	for {
		batch := l.take(lane)
		if batch == nil {
			return
		}
		questions := make([]termQuestion, len(batch))
		for i, q := range batch {
			questions[i] = q.question
		}
		ctx, cancel := context.WithTimeout(context.Background(), termCallTimeout)
		answers := make([]termAnswer, len(batch)) // not here, unless the peer says otherwise
		if reply, err := l.call(ctx, to, appendTermQuestions(nil, questions)); err == nil {
			if decoded, err := decodeTermAnswers(reply, len(batch)); err == nil {
				answers = decoded
			}
		}
		cancel()
		for i, q := range batch {
			q.check.answer(answers[i])
		}
	}
}

// take closes the waiting checks to new readers and returns their questions;
// nil signs the sender off.
func (l *termLanes) take(lane *termLane) []termQuery {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := make([]termQuery, 0, min(len(lane.waiting), maxTermQuestions))
	n := 0
	for _, q := range lane.waiting {
		if len(batch) == maxTermQuestions {
			break
		}
		n++
		if q.check.markSent() {
			batch = append(batch, q)
		}
	}
	lane.waiting = append(lane.waiting[:0], lane.waiting[n:]...)
	if len(batch) == 0 {
		lane.busy--
		return nil
	}
	return batch
}

// close takes no more questions and waits for the frames on their way, at most
// termCallTimeout.
func (l *termLanes) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wg.Wait()
}
