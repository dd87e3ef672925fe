package raftgroup

import (
	"context"
	"fmt"
	"time"
)

// MaxFence is the longest deadline that a fence may be given.
const MaxFence = 10 * time.Second

// The ways in which a fence ends.
const (
	fenceHeld fenceEnd = iota
	fenceLifted
	fenceExpired
	fenceDeposed // the replica lost the leadership: its writes go elsewhere
)

type fenceEnd uint8

// FenceStats counts the fences of one group on this node since it was opened.
type FenceStats struct {
	Raised  uint64
	Expired uint64        // of Raised: they reached their deadline, and what was begun under them was given up
	Paused  time.Duration // all together
	Longest time.Duration
}

// Fence is a pause of one group's writes at its propose point. Writes that
// arrive wait in order; nothing else of the group stops. It has one owner, and
// a deadline at which it lifts itself, whatever became of the owner.
type Fence struct {
	q     *proposer
	owner string
	since time.Time
	limit time.Duration
	timer *time.Timer
	done  chan struct{}

	sealed bool          // guarded by q.mu; see seal.go
	end    fenceEnd      // guarded by q.mu
	length time.Duration // guarded by q.mu; set when it ends
}

// raise fences the queue for at most limit.
func (q *proposer) raise(owner string, limit time.Duration) (*Fence, error) {
	if limit <= 0 || limit > MaxFence {
		return nil, fmt.Errorf("fence of %v: allowed are deadlines up to %v", limit, MaxFence)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrClosed
	}
	if q.fence != nil {
		return nil, fmt.Errorf("held by %s: %w", q.fence.owner, ErrFenced)
	}
	f := &Fence{q: q, owner: owner, since: time.Now(), limit: limit, done: make(chan struct{})}
	f.timer = time.AfterFunc(limit, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.liftLocked(f, fenceExpired)
	})
	q.fence = f
	q.fences.Raised++
	return f, nil
}

func (q *proposer) fenceStats() FenceStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fences
}

// liftLocked ends f if it is the one that is held.
func (q *proposer) liftLocked(f *Fence, end fenceEnd) {
	if f == nil || q.fence != f {
		return
	}
	q.fence = nil
	f.end, f.length = end, time.Since(f.since)
	q.fences.Paused += f.length
	q.fences.Longest = max(q.fences.Longest, f.length)
	if end == fenceExpired || f.length >= f.limit { // its owner may see the deadline first
		q.fences.Expired++
	}
	f.timer.Stop()
	close(f.done)
	q.kickLocked()
}

// depose lifts the fence of a replica that leads no longer.
func (q *proposer) depose() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.liftLocked(q.fence, fenceDeposed)
}

// Lift ends the fence, if it has not ended by itself, and returns how long
// writes waited. It may be called again.
func (f *Fence) Lift() time.Duration {
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	f.q.liftLocked(f, fenceLifted)
	return f.length
}

// Done is closed when the fence ends, for whatever reason.
func (f *Fence) Done() <-chan struct{} { return f.done }

// Err is nil while the fence is held or after its owner lifted it.
func (f *Fence) Err() error {
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	switch f.end {
	case fenceExpired:
		return fmt.Errorf("fence of %s, held for %v: %w", f.owner, f.length, ErrFenceExpired)
	case fenceDeposed:
		return ErrNotLeader{Leader: f.q.leader()}
	}
	return nil
}

// Drain waits until no entry from before the fence is on its way.
func (f *Fence) Drain(ctx context.Context) error { return f.await(ctx, f.q.drained()) }

// await waits for quiet while the fence is held.
func (f *Fence) await(ctx context.Context, quiet <-chan struct{}) error {
	select {
	case <-quiet:
		return nil
	case <-f.done:
		if err := f.Err(); err != nil {
			return err
		}
		return ErrFenceExpired
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
