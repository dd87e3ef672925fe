package raftgroup

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/hashicorp/raft"
)

// ReplicaState is the state of a replica.
type ReplicaState uint8

// The states of a local replica. Offline is judged by others.
const (
	ReplicaReady ReplicaState = iota + 1
	ReplicaSyncing
	ReplicaQuarantined
	// ReplicaSuspect: some leaves are wrong or unreadable, and not served. It
	// serves the others; a repair is due.
	ReplicaSuspect
	// ReplicaDisputed: some leaves differ from those of others, and nobody knows who
	// is wrong. It serves all.
	ReplicaDisputed
)

// Serves reports whether a replica in this state serves readers, but for what is
// suspect.
func (s ReplicaState) Serves() bool {
	return s == ReplicaReady || s == ReplicaSuspect || s == ReplicaDisputed
}

// Trusted reports whether all that the replica has may be copied by others, and
// whether it may lead when others can.
func (s ReplicaState) Trusted() bool { return s == ReplicaReady || s == ReplicaDisputed }

// String gives the word that the API uses.
func (s ReplicaState) String() string {
	switch s {
	case ReplicaReady:
		return "ready"
	case ReplicaSyncing:
		return "syncing"
	case ReplicaQuarantined:
		return "quarantined"
	case ReplicaSuspect:
		return "suspect"
	case ReplicaDisputed:
		return "disputed"
	}
	return fmt.Sprintf("ReplicaState(%d)", uint8(s))
}

// Group is this node's replica of one group. It outlives its Raft instance: a
// group that may not start, or was stopped, answers why.
type Group struct {
	id   uint32
	host *Host

	opening turns // held while the group is opened or stopped
	wanted  Want  // guarded by opening; what the last start was told

	// suspecting is held while a suspicion is made durable and acted on. Under
	// opening, never around it.
	suspecting turns

	agreeing sync.Mutex // held while an agreement is written

	mu       sync.RWMutex
	instance *instance           // guarded by mu; nil: not running
	self     membership.ServerID // guarded by mu
	lineage  string              // guarded by mu
	state    ReplicaState        // guarded by mu
	why      string              // guarded by mu; "" when nothing is wrong
	decided  bool                // guarded by mu; refused for a reason that stays: see why
	restarts bool                // guarded by mu; stopped only to be started again at once
	joining  bool                // guarded by mu; not a voter yet
	hold     *Hold               // guarded by mu, and written under opening; nil: not held
	atOpen   *Report             // guarded by mu; of the first open, nil before
	openedAt time.Time           // guarded by mu; when that was over
	root     digest.ID           // guarded by mu; of the last cut that was hashed here
	rootAt   storage.Position    // guarded by mu
	files    int                 // guarded by mu; how often an install has put another file in the shard's place

	suspicions suspicions // guarded by mu, and written under suspecting
	recalled   bool       // guarded by mu; the mark was read
	badLeaves  badLeaves
}

// ID is the group's number.
func (g *Group) ID() uint32 { return g.id }

// Self is the server id under which this replica runs.
func (g *Group) Self() membership.ServerID {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.self
}

// Lineage is the history that this replica is of.
func (g *Group) Lineage() string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.lineage
}

// running gives the instance, or why there is none.
func (g *Group) running() (*instance, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.instance == nil {
		if g.why != "" {
			return nil, fmt.Errorf("group %d: %s: %w", g.id, g.why, ErrClosed)
		}
		return nil, fmt.Errorf("group %d: %w", g.id, ErrClosed)
	}
	return g.instance, nil
}

// Propose has the commands in frames applied and returns the index of their
// entry. Concurrent callers share entries. It waits until the entry is applied
// here; OutcomeOf says what is known after an error. The caller may not change
// frames afterwards.
func (g *Group) Propose(ctx context.Context, frames []byte) (uint64, error) {
	p, err := g.propose(frames)
	if err != nil {
		return 0, err
	}
	return p.Wait(ctx)
}

// ProposeAsync is Propose without waiting: the proposal settles by the
// deadline (none if zero), as not applied if it still waits in the queue then.
func (g *Group) ProposeAsync(frames []byte, deadline time.Time) *Proposal {
	p, err := g.propose(frames)
	if err != nil {
		p = newProposal(frames, false)
		p.settle(proposalWaiting, 0, err)
		return p
	}
	p.expireAt(deadline)
	return p
}

func (g *Group) propose(frames []byte) (*Proposal, error) {
	in, err := g.running()
	if err != nil {
		return nil, err
	}
	if g.host.noSpace.Load() {
		return nil, fmt.Errorf("group %d: %w", g.id, ErrNoSpace)
	}
	if in.raft.State() != raft.Leader || in.held() {
		return nil, in.notLeading()
	}
	p := newProposal(frames, false)
	if err := in.proposer.enqueue(p); err != nil {
		return nil, fmt.Errorf("group %d: %w", g.id, err)
	}
	return p, nil
}

// ReadBarrier makes a linearizable read of the shard possible: it returns nil
// when this replica led at some moment after the call and the shard holds all
// that was acked before it. A follower answers ErrNotLeader.
func (g *Group) ReadBarrier(ctx context.Context) error {
	in, err := g.running()
	if err != nil {
		return err
	}
	return in.barrier(ctx)
}

// Fence pauses this group's writes for its owner, at most for limit.
func (g *Group) Fence(owner string, limit time.Duration) (*Fence, error) {
	in, err := g.running()
	if err != nil {
		return nil, err
	}
	f, err := in.proposer.raise(owner, limit)
	if err != nil {
		return nil, fmt.Errorf("group %d: %w", g.id, err)
	}
	return f, nil
}

// Trim flushes the shard, takes a snapshot by reference and drops the log up to
// what is applied; live leases keep theirs. A replica that is behind that needs
// a copy then: TrimThrough spares those that one asks first.
func (g *Group) Trim(ctx context.Context) error { return g.TrimThrough(ctx, math.MaxUint64) }

// TrimThrough is Trim that drops nothing that a replica needs whose last entry
// is through.
func (g *Group) TrimThrough(ctx context.Context, through uint64) error {
	in, err := g.running()
	if err != nil {
		return err
	}
	return in.trim(ctx, min(through, in.shard.Applied().Index))
}

// Root hashes this replica's state at a cut and remembers it for Status.
func (g *Group) Root(ctx context.Context, cutID string) (digest.ID, storage.Position, error) {
	in, err := g.running()
	if err != nil {
		return digest.ID{}, storage.Position{}, err
	}
	if in.held() { // no source, and its cuts never come
		return digest.ID{}, storage.Position{}, g.NoShard()
	}
	view, err := in.shard.AwaitView(ctx, cutID)
	if err != nil {
		return digest.ID{}, storage.Position{}, fmt.Errorf("group %d: %w", g.id, err)
	}
	defer func() { _ = view.Close() }()
	root, _, err := view.Root(ctx)
	if err != nil {
		return digest.ID{}, storage.Position{}, fmt.Errorf("group %d: root at cut %s: %w", g.id, cutID, err)
	}
	at := view.Index()
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.Index >= g.rootAt.Index {
		g.root, g.rootAt = root, at
	}
	return root, at, nil
}

// Shard is the state machine, nil while the replica does not run or waits for an
// install: Status says why.
func (g *Group) Shard() *storage.Shard {
	in, err := g.running()
	if err != nil || in.held() {
		return nil
	}
	return in.shard
}

// Leader is the server that this replica holds for the leader.
func (g *Group) Leader() (membership.ServerID, bool) {
	in, err := g.running()
	if err != nil {
		return membership.ServerID{}, false
	}
	return in.leader()
}

func (g *Group) leaderHint() membership.ServerID {
	leader, _ := g.Leader()
	return leader
}

// IsLeader reports whether this replica holds itself for the leader. It may be
// deposed without knowing: reads need ReadBarrier.
func (g *Group) IsLeader() bool {
	in, err := g.running()
	return err == nil && in.raft.State() == raft.Leader
}

// trusted reports whether this replica may serve and lead like any other.
func (g *Group) trusted() bool {
	state, _ := g.condition()
	return state.Trusted()
}

// condition is the replica's state and what is wrong with it. One that waited
// to be added is ready once the configuration gives it a vote: nobody gets one
// before its data is proven.
func (g *Group) condition() (ReplicaState, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.joining && g.instance != nil {
		if suffrage, ok := suffrageOf(g.instance.configuration(), g.self); ok && suffrage == raft.Voter {
			g.joining, g.state, g.why = false, ReplicaReady, ""
		}
	}
	switch {
	case g.instance == nil || !g.instance.held():
	case g.hold != nil:
		return ReplicaSyncing, "waits for the install of job " + g.hold.owner
	default: // it has dropped entries
		return ReplicaSyncing, "starts again after a resync"
	}
	if s, some := g.suspicions.gravest(); some && g.state == ReplicaReady {
		if s.Disputed {
			return ReplicaDisputed, s.line()
		}
		return ReplicaSuspect, s.line()
	}
	return g.state, g.why
}

// start opens the group; damage is what was found bad in its log while it ran,
// if that is why. The caller holds opening.
func (g *Group) start(w Want, damage error) error {
	g.wanted = w
	o := &opening{host: g.host, group: g.id, birth: w.Birth, assigned: w.Assigned, giveUp: g.giveUpLead, held: g.currentHold() != nil}
	g.suspecting.Lock()
	o.suspicions, o.doubt = g.recall()
	g.suspecting.Unlock()
	in, d, err := o.open()
	g.suspecting.Lock()
	defer g.suspecting.Unlock()
	if in != nil { // before anybody can read
		in.suspect(suspicions{}, g.heldAgainst())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.atOpen == nil && o.report.Group == g.id && o.report.Server != (membership.ServerID{}) {
		g.atOpen, g.openedAt = &o.report, time.Now()
	}
	g.instance, g.self, g.lineage, g.decided, g.restarts = in, d.Server(g.host.config.Self), d.Lineage, false, false
	switch {
	case err != nil:
		g.state, g.why = ReplicaQuarantined, "cannot be opened: "+err.Error()
		return err
	case in == nil && d.Lineage == "":
		g.state, g.why = ReplicaSyncing, d.Why
		return fmt.Errorf("group %d: %s: %w", g.id, d.Why, ErrUnknownGroup)
	case in == nil:
		g.decided = true
		g.state, g.why = ReplicaQuarantined, d.Why
		g.host.config.Logger.Warn("group does not start", "group", g.id, "why", d.Why)
		return nil
	}
	o.reportDamage(damage)
	g.host.config.Logger.Debug("group opened", "group", g.id, "action", d.Action, "server", g.self)
	suffrage, _ := suffrageOf(in.configuration(), in.self)
	g.joining = d.Action == ActionJoin || d.Action == ActionRenew || d.Action == ActionStart && suffrage != raft.Voter
	g.state, g.why = ReplicaReady, ""
	switch {
	case g.joining && d.Why == "": // installed, say, and not added yet
		g.state, g.why = ReplicaSyncing, whyUnadded
	case g.joining:
		g.state, g.why = ReplicaSyncing, d.Why
	}
	if d.Action == ActionRenew {
		g.host.config.Logger.Warn("replica comes back under a new generation", "group", g.id, "server", g.self, "why", d.Why)
	}
	if d.Action != ActionBootstrap && !in.held() {
		in.hearCommitted()
	}
	return nil
}

// refused reports whether a start would only be refused again: nothing that is
// known from outside has changed. The caller holds opening.
func (g *Group) refused(w Want) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	sameBirth := (w.Birth == nil) == (g.wanted.Birth == nil) && (w.Birth == nil || w.Birth.Lineage == g.wanted.Birth.Lineage)
	return g.decided && sameBirth && w.Assigned == g.wanted.Assigned
}

// stop closes the instance, if there is one, and says why.
func (g *Group) stop(state ReplicaState, why string) error {
	g.mu.Lock()
	in := g.instance
	g.instance, g.state, g.why = nil, state, why
	hold := g.hold
	g.mu.Unlock()
	if hold != nil {
		if err := hold.closeBase(); err != nil {
			g.host.config.Logger.Warn("base of a held replica did not close", "group", g.id, "error", err)
		}
	}
	if in == nil {
		return nil
	}
	if err := in.close(); err != nil {
		return fmt.Errorf("close group %d: %w", g.id, err)
	}
	return nil
}
