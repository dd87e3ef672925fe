package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

const (
	// MaxEntryBytes caps one log entry; a single proposal above it is invalid,
	// and its caller splits it.
	MaxEntryBytes = 512 << 10
	// MaxQueuedProposals and MaxQueuedBytes bound what waits at a group's
	// propose point, behind a fence or a slow disk; beyond them ErrBusy.
	MaxQueuedProposals = 4096
	MaxQueuedBytes     = 16 << 20
	// DefaultInFlight is how many entries of a group are on their way at once:
	// a second one keeps the log busy while the first one is acked, and more
	// would only take callers away from being merged.
	DefaultInFlight = 2
	// transferRetry is the pause before a proposal is tried again that Raft
	// refused because of a leadership transfer of its own.
	transferRetry = 5 * time.Millisecond
)

// proposer is the single propose point of a group. Callers that arrive while
// entries are on their way are merged, in order, into the next entry: its data
// is the concatenation of their frames.
//
// A worker takes a batch, hands it to Raft and waits for its future. There are
// at most inFlight workers, started when there is work and ended when there is
// none, so an idle group has no goroutine here.
type proposer struct {
	apply    func(data []byte) raft.ApplyFuture // returns once Raft's main loop has taken the entry
	leader   func() membership.ServerID         // hint for ErrNotLeader
	inFlight int
	slots    entrySlots

	// submit orders the hand-over to Raft: taking a batch and giving it to Raft
	// are one step, or two batches could swap places. Taken before mu.
	submit turns

	mu          sync.Mutex
	queue       []*Proposal   // guarded by mu; in order of arrival, settled ones included until taken
	queuedBytes int           // guarded by mu; frames of queue
	workers     int           // guarded by mu
	fence       *Fence        // guarded by mu; while set, nothing is taken from queue
	fences      FenceStats    // guarded by mu
	held        *time.Timer   // guarded by mu; while set, a refused batch waits for its next try
	aside       int           // guarded by mu; what goes past the queue and is on its way
	idle        chan struct{} // guarded by mu; closed when workers falls to 0, for drain
	quiet       chan struct{} // guarded by mu; closed when aside falls to 0, for Fence.seal
	closed      bool          // guarded by mu
	wg          sync.WaitGroup
}

// enqueue puts p at the end of the queue.
func (q *proposer) enqueue(p *Proposal) error {
	if len(p.frames) == 0 || len(p.frames) > MaxEntryBytes {
		return fmt.Errorf("proposal of %d bytes, allowed are 1 to %d: %w", len(p.frames), MaxEntryBytes, ErrInvalid)
	}
	// What cannot be applied would take those merged behind it along.
	if err := storage.CheckFrames(p.frames); err != nil {
		return fmt.Errorf("proposal: %w: %w", ErrInvalid, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	if q.fullLocked(p) {
		q.dropSettledLocked()
		if q.fullLocked(p) {
			return ErrBusy
		}
	}
	q.queue = append(q.queue, p)
	q.queuedBytes += len(p.frames)
	q.kickLocked()
	return nil
}

func (q *proposer) fullLocked(p *Proposal) bool {
	return len(q.queue) >= MaxQueuedProposals || q.queuedBytes+len(p.frames) > MaxQueuedBytes
}

// dropSettledLocked forgets proposals whose callers gave up.
func (q *proposer) dropSettledLocked() {
	kept := q.queue[:0]
	q.queuedBytes = 0
	for _, p := range q.queue {
		if p.state.Load() != proposalSettled {
			kept = append(kept, p)
			q.queuedBytes += len(p.frames)
		}
	}
	clear(q.queue[len(kept):])
	q.queue = kept
}

// kickLocked starts a worker if there is work that may go now. One is enough:
// a worker that took a batch starts the next one if more is left.
func (q *proposer) kickLocked() {
	if len(q.queue) == 0 || q.fence != nil || q.held != nil || q.closed || q.workers >= q.inFlight {
		return
	}
	q.workers++
	q.wg.Go(q.work)
}

// work proposes batches until the queue is empty or something holds it.
func (q *proposer) work() {
	for q.workOnce() {
	}
}

func (q *proposer) workOnce() (more bool) {
	defer q.slots.acquire()()
	q.submit.Lock()
	batch, data := q.take()
	if batch == nil {
		q.submit.Unlock()
		return false
	}
	future := q.apply(data)
	q.submit.Unlock()
	q.deliver(batch, future)
	return true
}

// take removes the next batch from the queue and marks it as submitted. With
// nothing to take the worker is signed off before mu is released, so that a
// caller who then arrives starts a new one.
func (q *proposer) take() ([]*Proposal, []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch []*Proposal
	size, n := 0, 0
	if q.fence == nil && q.held == nil && !q.closed {
		for _, p := range q.queue {
			if len(batch) > 0 && (p.alone || batch[0].alone || size+len(p.frames) > MaxEntryBytes) {
				break
			}
			n++
			if p.state.CompareAndSwap(proposalWaiting, proposalSubmitted) {
				batch = append(batch, p)
				size += len(p.frames)
			}
			q.queuedBytes -= len(p.frames)
		}
		clear(q.queue[:n])
		q.queue = q.queue[n:]
		if len(q.queue) == 0 {
			q.queue = nil
		}
	}
	if len(batch) == 0 {
		q.workers--
		q.signalIdleLocked()
		return nil, nil
	}
	q.kickLocked()
	if len(batch) == 1 {
		return batch, batch[0].frames
	}
	data := make([]byte, 0, size)
	for _, p := range batch {
		data = append(data, p.frames...)
	}
	return batch, data
}

// deliver waits for the entry and tells its callers.
func (q *proposer) deliver(batch []*Proposal, future raft.ApplyFuture) {
	var frames []byte // of the one caller
	if len(batch) == 1 {
		frames = batch[0].frames
	}
	index, err := q.outcome(future, frames)
	if errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		q.holdBack(batch)
		return
	}
	for _, p := range batch {
		p.settle(proposalSubmitted, index, err)
	}
}

// outcome waits for an entry; frames are those of its caller, nil where several
// share it. A committed one that the shard could not take for a reason of its
// own (closing, damage) is applied elsewhere: unknown here. One with a command
// that cannot be decoded is applied up to there, so it is only known to be
// invalid where nothing can have come before.
func (q *proposer) outcome(future raft.ApplyFuture, frames []byte) (uint64, error) {
	if err := future.Error(); err != nil {
		return 0, classify(err, q.leader())
	}
	index := future.Index()
	switch err, _ := future.Response().(error); {
	case err == nil:
		return index, nil
	case errors.Is(err, storage.ErrBadCommand) && indivisible(frames):
		return index, fmt.Errorf("apply entry %d: %w: %w", index, ErrInvalid, err)
	default:
		return index, fmt.Errorf("apply entry %d: %w: %w", index, ErrUnknown, err)
	}
}

// indivisible reports whether frames are one command that is applied as a whole
// or not at all: any but a put.
func indivisible(frames []byte) bool {
	n := 0
	for c, err := range storage.DecodeCommands(frames) {
		if n++; n > 1 || err != nil || c.Kind == storage.KindPut {
			return false
		}
	}
	return n == 1
}

// holdBack puts a batch that Raft refused during a leadership transfer back to
// the head of the queue, for another try: nothing of it was applied.
func (q *proposer) holdBack(batch []*Proposal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	back := make([]*Proposal, 0, len(batch)+len(q.queue))
	for _, p := range batch {
		if p.state.CompareAndSwap(proposalSubmitted, proposalWaiting) {
			back = append(back, p)
			q.queuedBytes += len(p.frames)
		}
	}
	q.queue = append(back, q.queue...)
	if q.closed {
		q.failQueueLocked(ErrClosed)
		return
	}
	if q.held == nil {
		q.held = time.AfterFunc(transferRetry, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.held = nil
			q.kickLocked()
		})
	}
}

// direct proposes past the queue and its fence, for the fence's owner and for
// the commands of the group itself. Only a fence that is sealed holds it.
func (q *proposer) direct(ctx context.Context, frames []byte) (uint64, error) {
	return q.directAsync(frames).Wait(ctx)
}

// directAsync is direct for a caller that may not wait.
func (q *proposer) directAsync(frames []byte) *Proposal {
	p := newProposal(frames, true)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		p.settle(proposalWaiting, 0, ErrClosed)
		return p
	}
	q.wg.Go(func() {
		if !q.step() {
			p.settle(proposalWaiting, 0, ErrClosed)
			return
		}
		defer q.stepped()
		if !p.state.CompareAndSwap(proposalWaiting, proposalSubmitted) {
			return // its caller gave up
		}
		q.submit.Lock()
		future := q.apply(frames)
		q.submit.Unlock()
		index, err := q.outcome(future, frames)
		p.settle(proposalSubmitted, index, err)
	})
	return p
}

// drained is closed when no worker is left; call it with the queue held.
func (q *proposer) drained() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.workers == 0 {
		ch := make(chan struct{})
		close(ch)
		return ch
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	return q.idle
}

func (q *proposer) signalIdleLocked() {
	if q.workers == 0 && q.idle != nil {
		close(q.idle)
		q.idle = nil
	}
}

// close fails what waits as not applied. What Raft has taken keeps its outcome;
// wait for it with awaitWorkers, or with wg when Raft has ended.
func (q *proposer) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	if q.held != nil {
		q.held.Stop()
		q.held = nil
	}
	q.liftLocked(q.fence, fenceLifted)
	q.failQueueLocked(ErrClosed)
}

func (q *proposer) failQueueLocked(err error) {
	for _, p := range q.queue {
		p.settle(proposalWaiting, 0, err)
	}
	q.queue, q.queuedBytes = nil, 0
}

// awaitWorkers waits for every answer of Raft; false if one does not come.
func (q *proposer) awaitWorkers(limit time.Duration) bool {
	done := make(chan struct{})
	go func() { // ends with the last worker
		q.wg.Wait()
		close(done)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// queued is the number of proposals that wait.
func (q *proposer) queued() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue)
}
