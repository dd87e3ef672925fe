package raftgroup

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// The life of a proposal. Whoever moves it to settled writes its outcome.
const (
	proposalWaiting   uint32 = iota // in the queue: giving up means not applied
	proposalSubmitted               // handed to Raft: giving up means unknown
	proposalSettled
)

// Proposal is one caller's commands on their way through the log.
type Proposal struct {
	frames []byte
	// alone keeps the frames from sharing a log entry with others: the index of
	// a cut names one state.
	alone bool

	state  atomic.Uint32
	done   chan struct{}
	expiry atomic.Pointer[time.Timer] // of ProposeAsync's deadline; nil without one
	index  uint64                     // both are written before done is closed
	err    error
}

func newProposal(frames []byte, alone bool) *Proposal {
	return &Proposal{frames: frames, alone: alone, done: make(chan struct{})}
}

// Done is closed when the outcome is known, or known to be unknown.
func (p *Proposal) Done() <-chan struct{} { return p.done }

// Err is the outcome; call it after Done.
func (p *Proposal) Err() error { return p.err }

// Index is the log index of the entry that holds the commands, 0 unless they
// were applied; call it after Done.
func (p *Proposal) Index() uint64 { return p.index }

// Wait returns the outcome. A context that ends first settles the proposal: as
// not applied while it waits in the queue (it will never be proposed then), as
// unknown afterwards.
func (p *Proposal) Wait(ctx context.Context) (uint64, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		p.giveUp(context.Cause(ctx))
	}
	<-p.done
	return p.index, p.err
}

// expireAt has the proposal give itself up at the deadline.
func (p *Proposal) expireAt(deadline time.Time) {
	if deadline.IsZero() {
		return
	}
	timer := time.AfterFunc(time.Until(deadline), func() { p.giveUp(context.DeadlineExceeded) })
	p.expiry.Store(timer)
	if p.state.Load() == proposalSettled { // settled meanwhile: stop what settle did not see
		timer.Stop()
	}
}

// giveUp settles a proposal that nobody waits for any longer. It loops because
// a proposal that Raft refused during a transfer moves from submitted back to
// waiting.
func (p *Proposal) giveUp(cause error) {
	for p.state.Load() != proposalSettled {
		if p.settle(proposalWaiting, 0, fmt.Errorf("waited in the group's queue: %w: %w", ErrNotApplied, cause)) {
			return
		}
		if p.settle(proposalSubmitted, 0, fmt.Errorf("proposed, not confirmed in time: %w: %w", ErrUnknown, cause)) {
			return
		}
	}
}

// settle moves the proposal from a state to its end; false if it was elsewhere.
func (p *Proposal) settle(from uint32, index uint64, err error) bool {
	if !p.state.CompareAndSwap(from, proposalSettled) {
		return false
	}
	p.index, p.err = index, err
	close(p.done)
	if timer := p.expiry.Load(); timer != nil {
		timer.Stop()
	}
	return true
}
