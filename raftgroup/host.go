package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

// parallelOpens bounds how many groups are opened, or closed, at once.
const parallelOpens = 16

// HostConfig is what a Host needs. Engine, Votes and Budget stay the caller's,
// who closes them after the Host.
type HostConfig struct {
	Self      membership.NodeID
	ClusterID string
	Dir       string // the data directory; shards lie in groups/<id>/shard.db
	Engine    raftlog.Engine
	Votes     *raftlog.Votes
	Transport TransportFactory
	Call      Caller
	// Primary gives the name of the node that should lead a group, "" if the
	// table does not know; nil: no preference.
	Primary func(group uint32) string
	Budget  *storage.Budget
	Window  time.Duration // 0: the storage's default
	Timers  Timers        // zero: DefaultTimers
	// InFlight is how many entries of a group are on their way at once; 0: DefaultInFlight.
	InFlight int
	// LogRetention is how many bytes of log the node keeps; 0: no scheduled trimming.
	LogRetention int64
	Logger       *slog.Logger // nil: silent
	// Fatal is called on a disk error: the process should exit.
	Fatal func(error)
	// OnChange is told that a group's leader, or its state, may have changed. It
	// must not block.
	OnChange func(group uint32)
	// OnSuspect is told what is held against a replica: when that changes, after a
	// start, and again every minute, since a repair is due. What is disputed needs
	// none. It must not block.
	OnSuspect func(group uint32, s Suspicion)
	// Turns are those of readers of whole shards; nil: nobody waits.
	Turns storage.Turns
	// OnWrite is told that a client's write was applied here, whoever leads the
	// group. It must not block; nil: nobody is told.
	OnWrite func()
	// InstallStep is called at every step of an install, by the names of
	// InstallSteps. An error ends the install there, as the end of the process
	// would, and the group stays closed. For tests of crashes; nil: nothing.
	InstallStep func(group uint32, step string) error
	// TuneShard may change a shard's options before it is opened; nil: nothing.
	TuneShard func(*storage.Options)

	observe func(group uint32, entries []storage.Entry) // what the FSMs are handed, for tests
}

// Host owns all groups of one node.
type Host struct {
	config  HostConfig
	lanes   *termLanes
	repeats repeats
	noSpace atomic.Bool
	slots   entrySlots   // of all groups
	births  atomic.Int64 // campaigns of births under way

	mu     sync.RWMutex
	groups map[uint32]*Group // guarded by mu
	closed bool              // guarded by mu

	opens   chan struct{} // slots for opening and closing
	stop    chan struct{}
	workers sync.WaitGroup // trimmer, hand-over of damaged replicas
}

// Open returns a Host without groups: Ensure opens them.
func Open(c HostConfig) (*Host, error) {
	if err := c.Self.Validate(); err != nil {
		return nil, fmt.Errorf("open host: %w", err)
	}
	if c.Engine == nil || c.Votes == nil || c.Transport == nil || c.Call == nil || c.Dir == "" {
		return nil, errors.New("open host: engine, votes, transport, call and directory are required")
	}
	if c.Timers == (Timers{}) {
		c.Timers = DefaultTimers()
	}
	if c.InFlight <= 0 {
		c.InFlight = DefaultInFlight
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Budget == nil {
		c.Budget = storage.NewBudget(storage.DefaultHeadMemory)
	}
	h := &Host{
		config: c,
		groups: make(map[uint32]*Group),
		opens:  make(chan struct{}, parallelOpens),
		slots:  newEntrySlots(),
		stop:   make(chan struct{}),
	}
	h.lanes = newTermLanes(func(ctx context.Context, to membership.NodeID, payload []byte) ([]byte, error) {
		return h.config.Call(ctx, to, MethodTerms, payload)
	})
	if c.LogRetention > 0 {
		h.workers.Go(func() { newTrimmer(h).run(h.stop) })
	}
	if c.OnSuspect != nil {
		h.workers.Go(h.remind)
	}
	return h, nil
}

// Group gives this node's replica of a group.
func (h *Host) Group(id uint32) (*Group, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	g, ok := h.groups[id]
	return g, ok
}

// Groups lists the replicas by group.
func (h *Host) Groups() []*Group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	list := make([]*Group, 0, len(h.groups))
	for _, g := range h.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *Group) int { return int(a.id) - int(b.id) })
	return list
}

// Known lists the groups that anything in the data directory speaks of: what a
// node opens at start, before it hears from others.
func (h *Host) Known() []uint32 {
	known := append(h.config.Engine.Groups(), h.config.Votes.Groups()...)
	dirs, err := os.ReadDir(filepath.Join(h.config.Dir, "groups"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.config.Logger.Warn("groups directory cannot be listed", "error", err)
	}
	for _, d := range dirs {
		if id, err := strconv.ParseUint(d.Name(), 10, 32); err == nil {
			known = append(known, uint32(id))
		}
	}
	slices.Sort(known)
	return slices.DeleteFunc(slices.Compact(known), h.removed)
}

// Want is a group that this node should run.
type Want struct {
	Group    uint32
	Birth    *membership.Birth // nil: not known here
	Assigned bool              // the table lists this node as a holder
}

// Ensure opens a group if it is not open: it starts, bootstraps, joins, or
// stays closed with a reason (Group.Status). It is safe to call at any time. An
// error means that nothing is known of the group, or that opening failed.
func (h *Host) Ensure(ctx context.Context, w Want) (*Group, error) {
	select {
	case h.opens <- struct{}{}:
		defer func() { <-h.opens }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	h.mu.Lock()
	g, ok := h.groups[w.Group]
	if h.closed {
		h.mu.Unlock()
		return nil, ErrClosed
	}
	if !ok {
		g = &Group{id: w.Group, host: h, opening: newTurns(), suspecting: newTurns()}
		h.groups[w.Group] = g
	}
	h.mu.Unlock()
	g.opening.Lock()
	defer g.opening.Unlock()
	if _, err := g.running(); err == nil || g.refused(w) || g.currentHold() != nil {
		return g, nil
	}
	err := g.start(w, nil)
	if err == nil {
		h.unremove(w.Group)
		g.tellSuspicion()
	}
	if errors.Is(err, ErrUnknownGroup) && !ok {
		h.mu.Lock()
		delete(h.groups, w.Group)
		h.mu.Unlock()
	}
	return g, err
}

// EnsureAll opens many groups, a few at once; errors are joined, and the groups
// that failed say why. Groups that this node should lead come first: their other
// voters wait for it.
func (h *Host) EnsureAll(ctx context.Context, wants []Want) error {
	wants = slices.Clone(wants)
	slices.SortStableFunc(wants, func(a, b Want) int { return h.turn(a) - h.turn(b) })
	errs := make([]error, len(wants))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(parallelOpens, len(wants)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(wants)); i = next.Add(1) - 1 {
				_, errs[i] = h.Ensure(ctx, wants[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// turn is 0 for a group that this node campaigns for first, else 1.
func (h *Host) turn(w Want) int {
	if w.Birth != nil && len(w.Birth.Voters) > 0 && w.Birth.Voters[0].NodeID == h.config.Self {
		return 0
	}
	return 1
}

// closing reports whether Close has begun: what it hands over it must not be
// given back.
func (h *Host) closing() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.closed
}

// SetNoSpace makes proposals fail with ErrNoSpace, or ends that; meanwhile no
// leadership is given to this node where another can take it. The owner, who
// watches the disk, calls HandOver as well.
func (h *Host) SetNoSpace(below bool) { h.noSpace.Store(below) }

// Close hands the leaderships over as far as others take them before ctx ends,
// then stops Raft, flushes the shards and closes the logs of all groups.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	close(h.stop)
	h.HandOver(ctx)
	groups := h.Groups()
	h.drain(groups)
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
	for i, g := range groups {
		h.opens <- struct{}{}
		wg.Go(func() {
			defer func() { <-h.opens }()
			g.opening.Lock()
			defer g.opening.Unlock()
			errs[i] = g.stop(ReplicaSyncing, "node is shutting down")
		})
	}
	wg.Wait()
	h.workers.Wait()
	h.lanes.close()
	return errors.Join(errs...)
}

// drain lets the writes of all groups end side by side: groups without a
// quorum would otherwise be waited for one after the other.
func (h *Host) drain(groups []*Group) {
	var wg sync.WaitGroup
	for _, g := range groups {
		if in, err := g.running(); err == nil {
			wg.Go(in.drain)
		}
	}
	wg.Wait()
}

func (h *Host) isPrimary(group uint32) bool { return h.primaryIs(group, h.config.Self.Name) }

func (h *Host) primaryIs(group uint32, name string) bool {
	return h.config.Primary != nil && h.config.Primary(group) == name
}

// Handle answers the calls of other nodes.
func (h *Host) Handle(_ context.Context, _ membership.NodeID, method Method, payload []byte) ([]byte, error) {
	if method == MethodContains {
		return h.handleContains(payload)
	}
	questions, err := decodeTermQuestions(payload)
	if err != nil {
		return nil, err
	}
	switch method {
	case MethodTerms:
		answers := make([]termAnswer, len(questions))
		for i, q := range questions {
			if in := h.serverOf(q); in != nil {
				answers[i] = termAnswer{here: true, term: in.raft.CurrentTerm()}
			}
		}
		return appendTermAnswers(nil, answers), nil
	case MethodStanding:
		var s standing
		if len(questions) == 1 {
			if in := h.serverOf(questions[0]); in != nil {
				g, _ := h.Group(questions[0].group)
				// A candidate that is told to campaign does not begin: see candidacy.go.
				s = in.standing(g.mayLead() && in.raft.State() == raft.Follower)
			}
		}
		return s.append(nil), nil
	case MethodCommitted:
		var n commitNotice
		if len(questions) == 1 {
			if in := h.serverOf(questions[0]); in != nil {
				n = in.committed()
			}
		}
		return n.append(nil), nil
	}
	return nil, fmt.Errorf("method %d is not one of raftgroup's", method)
}

func (h *Host) handleContains(payload []byte) ([]byte, error) {
	q, entry, err := decodeContainsQuestion(payload)
	if err != nil {
		return nil, err
	}
	var c containment
	if in := h.serverOf(q); in != nil {
		c = in.containment(entry)
	}
	return c.append(nil), nil
}

// serverOf finds the instance that a question is for: this node never answers
// for another generation or lineage.
func (h *Host) serverOf(q termQuestion) *instance {
	g, ok := h.Group(q.group)
	if !ok {
		return nil
	}
	in, err := g.running()
	if err != nil || in.self.Generation != q.generation || in.lineage != q.lineage {
		return nil
	}
	return in
}
