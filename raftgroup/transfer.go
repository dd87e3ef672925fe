package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

const (
	// DefaultMaxPause is how long a planned transfer may make writes wait.
	DefaultMaxPause = 100 * time.Millisecond
	// maxTransferLag is how many entries the target may be behind before the
	// fence is raised.
	maxTransferLag = 64
	// transferPoll is the pause between two looks at the target's log.
	transferPoll = time.Millisecond
	// transferAttempts is one try and one retry.
	transferAttempts = 2
	// standingTimeout bounds one question to a target.
	standingTimeout = time.Second
	// parallelTransfers is how many groups of a node are handed over at once.
	parallelTransfers = 16
)

// ErrNoTarget: no other voter can take the leadership over now. Nothing
// changed; try again when one has caught up.
var ErrNoTarget = errors.New("no voter can take the leadership over")

// TransferLeadership moves the leadership to a voter, or for the zero ServerID
// to the one that stands best.
//
//  1. Ask the target first: a voter, ready, at most maxTransferLag behind.
//  2. Fence the writes; let the entries on their way finish; seal the fence, so
//     that nothing else goes into the log either (seal.go).
//  3. Wait until the target's log is as long as ours; send it TimeoutNow.
//  4. Lead no more, or the fence reaches its deadline: writes go on here, and
//     there is one retry.
//
// Raft's own transfer is not used: to a peer beyond the log it spins and
// refuses writes for a whole election timeout, and it does not ask for a vote.
func (g *Group) TransferLeadership(ctx context.Context, to membership.ServerID, maxPause time.Duration) error {
	in, err := g.running()
	if err != nil {
		return err
	}
	if maxPause <= 0 {
		maxPause = DefaultMaxPause
	}
	for attempt := 1; ; attempt++ {
		if _, ok := in.leads(); !ok {
			return in.notLeading()
		}
		target, err := g.transferTarget(ctx, in, to)
		if err == nil {
			err = g.transfer(ctx, in, target, maxPause)
		}
		if err == nil {
			return nil
		}
		if attempt >= transferAttempts || ctx.Err() != nil || errors.Is(err, ErrNoTarget) {
			return fmt.Errorf("transfer leadership of group %d: %w", g.id, err)
		}
	}
}

// StepDown moves the leadership to the voter that stands best.
func (g *Group) StepDown(ctx context.Context) error {
	return g.TransferLeadership(ctx, membership.ServerID{}, DefaultMaxPause)
}

// transferTarget checks the target, or picks the voter with the longest log,
// the primary first among equals.
func (g *Group) transferTarget(ctx context.Context, in *instance, to membership.ServerID) (membership.ServerID, error) {
	voters := votersOf(in.configuration())
	last := in.raft.LastIndex()
	standings := make([]standing, len(voters))
	var wg sync.WaitGroup
	for i, v := range voters {
		if v != in.self && (to.IsZero() || v == to) {
			wg.Go(func() { standings[i], _ = g.askStanding(ctx, in, v) })
		}
	}
	wg.Wait()
	best := -1
	for i, s := range standings {
		able := s.here && s.voter && s.ready && s.lastIndex+maxTransferLag >= last && s.currentTerm <= in.raft.CurrentTerm()
		if able && (best < 0 || s.lastIndex > standings[best].lastIndex ||
			s.lastIndex == standings[best].lastIndex && g.host.primaryIs(g.id, voters[i].Name)) {
			best = i
		}
	}
	if best < 0 {
		if !to.IsZero() {
			return membership.ServerID{}, fmt.Errorf("%s is no voter that is ready, near and reachable: %w", to, ErrNoTarget)
		}
		return membership.ServerID{}, ErrNoTarget
	}
	return voters[best], nil
}

// transfer moves the leadership under a fence.
func (g *Group) transfer(ctx context.Context, in *instance, target membership.ServerID, maxPause time.Duration) error {
	fence, err := in.proposer.raise("transfer to "+target.String(), maxPause)
	if err != nil {
		return err
	}
	defer fence.Lift()
	ctx, cancel := context.WithTimeoutCause(ctx, maxPause, ErrFenceExpired)
	defer cancel()
	if err := g.bringLevel(ctx, in, target, fence, maxPause*2/3); err != nil {
		return err
	}
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: protocolVersion, ID: []byte(in.self.String()), Addr: []byte(in.self.String()),
	}}
	if err := in.transport.TimeoutNow(raft.ServerID(target.String()), raft.ServerAddress(target.String()),
		request, &raft.TimeoutNowResponse{}); err != nil {
		return fmt.Errorf("tell %s to campaign: %w", target, err)
	}
	select {
	case <-fence.Done(): // deposed, as wanted, or the deadline
	case <-ctx.Done():
	}
	if _, ok := in.leads(); ok {
		return fmt.Errorf("%s did not take over: %w", target, ErrFenceExpired)
	}
	return nil
}

// bringLevel waits until nothing is added to the log and the target has all of
// it, for limit at most: who is told to campaign is left time to win before the
// fence ends.
func (g *Group) bringLevel(ctx context.Context, in *instance, target membership.ServerID, fence *Fence, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrFenceExpired)
	defer cancel()
	if err := fence.Drain(ctx); err != nil {
		return err
	}
	if err := fence.seal(ctx); err != nil {
		return err
	}
	for {
		s, err := g.askStanding(ctx, in, target)
		if err != nil {
			return err
		}
		// Raft says that it leads before its first entry of the term is in the log.
		if last, term := in.lastEntry(); term == in.raft.CurrentTerm() && s.lastIndex >= last {
			return nil
		}
		if err := pause.For(ctx, transferPoll); err != nil {
			return err
		}
	}
}

func (g *Group) askStanding(ctx context.Context, in *instance, server membership.ServerID) (standing, error) {
	ctx, cancel := context.WithTimeout(ctx, standingTimeout)
	defer cancel()
	question := appendTermQuestions(nil, []termQuestion{{group: g.id, generation: server.Generation, lineage: in.lineage}})
	reply, err := g.host.config.Call(ctx, server.NodeID, MethodStanding, question)
	if err != nil {
		return standing{}, fmt.Errorf("ask %s how it stands: %w", server, err)
	}
	return decodeStanding(reply)
}

// HandOver moves the leadership of every group that this node leads, as far as
// others can take it, and returns how many it still leads.
func (h *Host) HandOver(ctx context.Context) int {
	slots := make(chan struct{}, parallelTransfers)
	var wg sync.WaitGroup
	for _, g := range h.Groups() {
		if !g.IsLeader() {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := g.StepDown(ctx); err != nil {
				h.config.Logger.Debug("leadership stays", "group", g.id, "error", err)
			}
		})
	}
	wg.Wait()
	left := 0
	for _, g := range h.Groups() {
		if g.IsLeader() {
			left++
		}
	}
	return left
}
