package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage/digest"
)

const (
	// poll is how often the groups that this node leads are looked at.
	poll = time.Second
	// gather is the pause between a poke and the look that it asks for.
	gather = 50 * time.Millisecond
	// describeLimit bounds the question what a node holds.
	describeLimit = time.Second
	// groupsAtOnce bounds the groups that are worked on together: each adds a
	// replica that reads this node's log.
	groupsAtOnce = 16
	// stepLimit bounds one step of one group; it is tried again at a later look.
	stepLimit = 15 * time.Second
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

// Copies tells the node of a server that the server needs a copy. takes: the
// node copies it, or will; how far that is it says itself. It may be called
// again and again.
type Copies interface {
	Nudge(ctx context.Context, group uint32, server membership.ServerID) (takes bool)
}

// Loop works on all groups that this node leads.
type Loop struct {
	host   *raftgroup.Host
	wanted Assignments
	peers  Peers
	copies Copies // nil: nobody copies
	log    *slog.Logger
	wake   chan struct{} // holds at most one wake
	slots  chan struct{} // one a group that is worked on
	work   sync.WaitGroup

	mu     sync.Mutex
	groups map[uint32]*led                // guarded by mu: those that this node leads
	busy   map[uint32]bool                // guarded by mu: groups that are worked on
	back   map[membership.NodeID]struct{} // guarded by mu: came back since the last look
}

// New returns a loop that does nothing until Run.
func New(host *raftgroup.Host, wanted Assignments, peers Peers, copies Copies, log *slog.Logger) *Loop {
	return &Loop{
		host: host, wanted: wanted, peers: peers, copies: copies, log: log, wake: make(chan struct{}, 1),
		slots: make(chan struct{}, groupsAtOnce), groups: make(map[uint32]*led), busy: make(map[uint32]bool), back: make(map[membership.NodeID]struct{}),
	}
}

// Poke asks for a look soon: an assignment or a leader has changed.
func (l *Loop) Poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Look asks for a look at one group soon, whenever its turn would be: what it
// waits for may be there. One that is under way may have looked too early.
func (l *Loop) Look(group uint32) {
	l.mu.Lock()
	if known := l.groups[group]; known != nil {
		known.next, known.again = time.Time{}, l.busy[group]
	}
	l.mu.Unlock()
	l.Poke()
}

// PeerBack says that a node is there again, under what ids has to be asked.
func (l *Loop) PeerBack(node membership.NodeID) {
	l.mu.Lock()
	l.back[node] = struct{}{}
	l.mu.Unlock()
	l.Poke()
}

// Run looks until ctx ends, and waits for what it has begun. Pokes that come
// close to each other, as those of many groups do, are one look.
func (l *Loop) Run(ctx context.Context) error {
	defer l.work.Wait()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		l.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			continue
		case <-l.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(gather):
		}
		select {
		case <-l.wake:
		default:
		}
	}
}

// look begins to settle every group that this node leads and that is due,
// groupsAtOnce at a time. It does not wait for them: a server that does not get
// on holds up its own group only.
func (l *Loop) look(ctx context.Context) {
	r := l.beginRound()
	for _, g := range l.host.Groups() {
		a, known := l.wanted.Of(g.ID())
		if !known || !g.IsLeader() {
			l.forget(g.ID())
			continue
		}
		if !l.due(g, a, r) {
			continue
		}
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		l.setBusy(g.ID(), true)
		l.work.Go(func() {
			defer func() { <-l.slots }()
			defer l.setBusy(g.ID(), false)
			limited, cancel := context.WithTimeout(ctx, stepLimit)
			defer cancel()
			l.note(g.ID(), a, l.settle(limited, g, a, r))
		})
	}
}

// outcome is what a look at one group came to.
type outcome struct {
	step  Step   // the last; one that says why, if nothing can be done
	index uint64 // of the configuration that it was decided by
	// asleep: a holder was reached, or refused, and does not run the group (yet).
	asleep bool
	// lasting: it waits for a server that cannot even be added.
	lasting bool
}

// settle takes steps until there is none left.
func (l *Loop) settle(ctx context.Context, g *raftgroup.Group, a Assignment, r *round) outcome {
	var out outcome
	fail := func(about membership.ServerID, err error) outcome {
		return outcome{step: Step{Target: about, Why: err.Error()}}
	}
	for range maxSteps {
		view, asleep, err := l.view(ctx, g, a, r)
		if err != nil {
			return fail(membership.ServerID{}, err)
		}
		out = outcome{step: l.decide(ctx, g.ID(), view), index: view.Index, asleep: asleep}
		if out.step.Kind == StepNone {
			if out.step.Why == "" && !a.Settled {
				if err := l.wanted.Settle(ctx, g.ID(), a.Epoch); err != nil {
					return fail(membership.ServerID{}, err)
				}
			}
			out.lasting = a.Settled && !slices.ContainsFunc(view.Members, func(m raftgroup.Member) bool { return m.ID == out.step.Target })
			return out
		}
		if err := l.take(ctx, g, view, out.step); err != nil {
			return fail(out.step.Target, err)
		}
	}
	return outcome{}
}

// decide is Next. The node of a server that needs a copy is told; where it
// copies nothing, the log has to do what it can.
func (l *Loop) decide(ctx context.Context, group uint32, v View) Step {
	for {
		step := Next(v)
		if !step.Copy {
			return step
		}
		takes := l.copies != nil && l.copies.Nudge(ctx, group, step.Target)
		i := slices.IndexFunc(v.Wanted, func(w Wanted) bool { return w.ID == step.Target })
		if takes || v.Wanted[i].NoCopy {
			return step
		}
		v.Wanted[i].NoCopy = true
	}
}

// view gathers what Next decides by.
func (l *Loop) view(ctx context.Context, g *raftgroup.Group, a Assignment, r *round) (v View, asleep bool, err error) {
	members, index, err := g.Members()
	if err != nil {
		return View{}, false, err
	}
	shard := g.Shard()
	if shard == nil {
		return View{}, false, raftgroup.ErrClosed
	}
	first, err := g.FirstLog()
	if err != nil {
		return View{}, false, err
	}
	v = View{Self: g.Self(), Members: members, Index: index, FirstLog: first, Applied: shard.Applied().Index, Points: shard.Stats().Points}
	wanted := make(map[membership.ServerID]bool)
	for _, holder := range a.Nodes {
		w := l.server(ctx, g, holder, v, r)
		asleep = asleep || !w.Reachable && !r.silent(holder)
		wanted[w.ID] = true
		v.Wanted = append(v.Wanted, w)
	}
	l.addProofs(g.ID(), &v)
	for _, m := range members {
		if m.ID == v.Self || wanted[m.ID] {
			continue
		}
		if answer, err := l.describe(ctx, m.ID.NodeID, g.ID(), r); err == nil && answer.Server == m.ID {
			v.Others = append(v.Others, m.ID)
		}
	}
	return v, asleep, nil
}

// server asks a holder for the id under which it holds the group; one that does
// not answer is taken for the newest member that it was, if it was one.
func (l *Loop) server(ctx context.Context, g *raftgroup.Group, holder membership.NodeID, v View, r *round) Wanted {
	if holder == v.Self.NodeID {
		return Wanted{ID: v.Self, Reachable: true, Applied: v.Applied}
	}
	answer, err := l.describe(ctx, holder, g.ID(), r)
	if err == nil && answer.Server.NodeID == holder {
		return Wanted{ID: answer.Server, Reachable: true, Applied: answer.Applied}
	}
	if was, ok := newest(v.Members, holder); ok {
		return Wanted{ID: was}
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
		err := l.prove(ctx, g, s.Target)
		if err == nil {
			err = g.AddVoter(ctx, s.Target, v.Index)
		}
		l.notedProof(ctx, g.ID(), s.Target, err)
		return err
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
