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

// Assignment is what a group is brought to.
type Assignment struct {
	Nodes   []membership.NodeID // that should hold it, this one included
	Epoch   uint64
	Settled bool // the table counts it as carried out
}

// Assignments is the table of assignments.
type Assignments interface {
	// Of gives the assignment of a group; ok is false where none is known.
	Of(group uint32) (a Assignment, ok bool)
	// Settle says that the assignment of that epoch has been carried out; a newer
	// epoch refuses it.
	Settle(ctx context.Context, group uint32, epoch uint64) error
}

// Loop works on all groups that this node leads.
type Loop struct {
	host   *raftgroup.Host
	wanted Assignments
	peers  Peers
	log    *slog.Logger
	wake   chan struct{} // holds at most one wake

	mu  sync.Mutex
	why map[uint32]string // guarded by mu: why a group is not as it should be
}

// New returns a loop that does nothing until Run.
func New(host *raftgroup.Host, wanted Assignments, peers Peers, log *slog.Logger) *Loop {
	return &Loop{host: host, wanted: wanted, peers: peers, log: log, wake: make(chan struct{}, 1), why: make(map[uint32]string)}
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
		a, known := l.wanted.Of(g.ID())
		if !known || !g.IsLeader() || a.Settled && carriedOut(g, a) {
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
			l.note(g.ID(), l.settle(limited, g, a))
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

// carriedOut compares without asking anybody: every holder has one vote, and
// nobody else is a member.
func carriedOut(g *raftgroup.Group, a Assignment) bool {
	members, _, err := g.Members()
	if err != nil {
		return true // it is closing
	}
	votes := make(map[membership.NodeID]bool, len(members))
	for _, m := range members {
		votes[m.ID.NodeID] = m.Voter
	}
	for _, n := range a.Nodes {
		if !votes[n] {
			return false
		}
	}
	return len(members) == len(a.Nodes)
}

// settle takes steps until there is none left; it returns why it stopped short.
func (l *Loop) settle(ctx context.Context, g *raftgroup.Group, a Assignment) string {
	for range maxSteps {
		view, err := l.view(ctx, g, a)
		if err != nil {
			return err.Error()
		}
		step := Next(view)
		if step.Kind == StepNone && step.Why == "" && !a.Settled {
			if err := l.wanted.Settle(ctx, g.ID(), a.Epoch); err != nil {
				return err.Error()
			}
		}
		if step.Kind == StepNone {
			return step.Why
		}
		if err := l.take(ctx, g, view, step); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (l *Loop) view(ctx context.Context, g *raftgroup.Group, a Assignment) (View, error) {
	members, index, err := g.Members()
	if err != nil {
		return View{}, err
	}
	shard := g.Shard()
	if shard == nil {
		return View{}, raftgroup.ErrClosed
	}
	first, err := g.FirstLog()
	if err != nil {
		return View{}, err
	}
	v := View{Self: g.Self(), Members: members, Index: index, FirstLog: first, Applied: shard.Applied().Index}
	for _, h := range a.Nodes {
		v.Wanted = append(v.Wanted, l.server(ctx, g, h, v))
	}
	return v, nil
}

// server asks a holder for the id under which it holds the group; one that does
// not answer is taken for the member that it was, if it was one.
func (l *Loop) server(ctx context.Context, g *raftgroup.Group, holder membership.NodeID, v View) Wanted {
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
