package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage/digest"
)

const (
	// poll is how often the groups that this node leads are looked at.
	poll = time.Second
	// groupsAtOnce bounds the groups that are worked on together: each adds a
	// replica that reads this node's log.
	groupsAtOnce = 16
	// stepLimit bounds one step of one group; it is tried again at a later look.
	stepLimit = 15 * time.Second
	// proofTTL is how long the replicas keep the view of a proof's cut.
	proofTTL = 30 * time.Second
	// catchUpPoll is the pause between two looks at a server that catches up.
	catchUpPoll = 20 * time.Millisecond
	// maxSteps bounds what is done to one group in one look.
	maxSteps = 32
)

// Peers asks the Responder of another node.
type Peers interface {
	// Describe says under which id the node holds the group open.
	Describe(ctx context.Context, node membership.NodeID, group uint32) (Replica, error)
	// Root hashes the node's replica at a cut.
	Root(ctx context.Context, node membership.NodeID, group uint32, cutID string) (digest.ID, error)
}

// Replica is a node's answer about its copy of a group.
type Replica struct {
	Server  membership.ServerID
	Applied uint64
}

// Holders names the nodes that should hold a group, this one included; ok is
// false for a group whose assignment is not known.
type Holders func(group uint32) (nodes []membership.NodeID, ok bool)

// Loop works on all groups that this node leads.
type Loop struct {
	host    *raftgroup.Host
	holders Holders
	peers   Peers
	log     *slog.Logger
	wake    chan struct{} // holds at most one wake

	mu  sync.Mutex
	why map[uint32]string // guarded by mu: why a group is not as it should be
}

// New returns a loop that does nothing until Run.
func New(host *raftgroup.Host, holders Holders, peers Peers, log *slog.Logger) *Loop {
	return &Loop{host: host, holders: holders, peers: peers, log: log, wake: make(chan struct{}, 1), why: make(map[uint32]string)}
}

// Poke asks for a look now: an assignment or a leader has changed.
func (l *Loop) Poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Why says what a group that this node leads is waiting for, "" for nothing.
func (l *Loop) Why(group uint32) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why[group]
}

// Run looks until ctx ends, and waits for what it has begun.
func (l *Loop) Run(ctx context.Context) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		l.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-l.wake:
		}
	}
}

// look settles every group that this node leads, groupsAtOnce at a time.
func (l *Loop) look(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, groupsAtOnce)
	for _, g := range l.host.Groups() {
		if !g.IsLeader() || l.settled(g) {
			l.note(g.ID(), "")
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			limited, cancel := context.WithTimeout(ctx, stepLimit)
			defer cancel()
			l.note(g.ID(), l.settle(limited, g))
		})
	}
}

func (l *Loop) note(group uint32, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if why == "" {
		delete(l.why, group)
		return
	}
	if l.why[group] != why {
		l.log.Info("group is not as it is assigned yet", "group", group, "why", why)
	}
	l.why[group] = why
}

// settled compares without asking anybody: every holder has one vote, and
// nobody else is a member.
func (l *Loop) settled(g *raftgroup.Group) bool {
	holders, ok := l.holders(g.ID())
	members, _, err := g.Members()
	if !ok || err != nil {
		return true // nothing to bring it to, or it is closing
	}
	votes := make(map[membership.NodeID]bool, len(members))
	for _, m := range members {
		votes[m.ID.NodeID] = m.Voter
	}
	for _, h := range holders {
		if !votes[h] {
			return false
		}
	}
	return len(members) == len(holders)
}

// settle takes steps until there is none left; it returns why it stopped short.
func (l *Loop) settle(ctx context.Context, g *raftgroup.Group) string {
	for range maxSteps {
		view, err := l.view(ctx, g)
		if err != nil {
			return err.Error()
		}
		step := Next(view)
		if step.Kind == StepNone {
			return step.Why
		}
		if err := l.take(ctx, g, view, step); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (l *Loop) view(ctx context.Context, g *raftgroup.Group) (View, error) {
	members, index, err := g.Members()
	if err != nil {
		return View{}, err
	}
	shard := g.Shard()
	if shard == nil {
		return View{}, raftgroup.ErrClosed
	}
	holders, _ := l.holders(g.ID())
	first, err := g.FirstLog()
	if err != nil {
		return View{}, err
	}
	v := View{Self: g.Self(), Members: members, Index: index, FirstLog: first, Applied: shard.Applied().Index}
	for _, h := range holders {
		v.Wanted = append(v.Wanted, l.wanted(ctx, g, h, v))
	}
	return v, nil
}

// wanted asks a holder for the id under which it holds the group; one that does
// not answer is taken for the member that it was, if it was one.
func (l *Loop) wanted(ctx context.Context, g *raftgroup.Group, holder membership.NodeID, v View) Wanted {
	if holder == v.Self.NodeID {
		return Wanted{ID: v.Self, Reachable: true, Applied: v.Applied}
	}
	r, err := l.peers.Describe(ctx, holder, g.ID())
	if err == nil && r.Server.NodeID == holder {
		return Wanted{ID: r.Server, Reachable: true, Applied: r.Applied}
	}
	for _, m := range v.Members {
		if m.ID.NodeID == holder {
			return Wanted{ID: m.ID}
		}
	}
	return Wanted{ID: holder.Server(0)}
}

func (l *Loop) take(ctx context.Context, g *raftgroup.Group, v View, s Step) error {
	l.log.Debug("changing a group", "group", g.ID(), "step", s.Kind, "server", s.Target)
	switch s.Kind {
	case StepAdd:
		if err := g.AddNonvoter(ctx, s.Target, v.Index); err != nil {
			return err
		}
		return l.awaitCaughtUp(ctx, g, s.Target)
	case StepProve:
		if err := l.prove(ctx, g, s.Target); err != nil {
			return err
		}
		return g.AddVoter(ctx, s.Target, v.Index)
	case StepRemove:
		return g.RemoveServer(ctx, s.Target, v.Index)
	}
	return nil
}

// awaitCaughtUp returns when the server has applied what the leader had applied
// at the last look, but for MaxLag entries.
func (l *Loop) awaitCaughtUp(ctx context.Context, g *raftgroup.Group, target membership.ServerID) error {
	tick := time.NewTicker(catchUpPoll)
	defer tick.Stop()
	for {
		shard := g.Shard()
		if shard == nil {
			return raftgroup.ErrClosed
		}
		r, err := l.peers.Describe(ctx, target.NodeID, g.ID())
		if err == nil && r.Server == target && r.Applied+MaxLag >= shard.Applied().Index {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is catching up: at %d of %d", target, r.Applied, shard.Applied().Index)
		case <-tick.C:
		}
	}
}

// prove compares the server's root with the leader's at one cut.
func (l *Loop) prove(ctx context.Context, g *raftgroup.Group, target membership.ServerID) error {
	cutID, at, err := g.Cut(ctx, "proof of "+target.String(), proofTTL)
	if err != nil {
		return err
	}
	defer func() { // a view that is not ended by its id ends by its ttl
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = g.End(ending, cutID)
	}()
	own, _, err := g.Root(ctx, cutID)
	if err != nil {
		return err
	}
	theirs, err := l.peers.Root(ctx, target.NodeID, g.ID(), cutID)
	if err != nil {
		return fmt.Errorf("root of %s at index %d: %w", target, at.Index, err)
	}
	if own != theirs {
		return fmt.Errorf("%s differs from the leader at index %d: root %s, not %s", target, at.Index, theirs, own)
	}
	return nil
}
