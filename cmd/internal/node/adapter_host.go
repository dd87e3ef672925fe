package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/syncing"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/raftgroup/reconcile"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// hostAdapter shows the groups of this node to the gateway. The host exists
// only once the node is a member of a cluster: before that there are no groups.
type hostAdapter struct {
	host      atomic.Pointer[raftgroup.Host]
	reconcile atomic.Pointer[reconcile.Loop]
	diskFree  func() int64 // bytes, as last seen
	quorum    func(*raftgroup.Group) error
	syncs     *syncing.Syncs
	scrubbed  func(group uint32) time.Time // when its shard was last read whole; zero: never
	asked     func()                       // told of what clients ask
}

// Group implements gateway.Host.
func (a *hostAdapter) Group(id uint32) (gateway.Group, bool) {
	h := a.host.Load()
	if h == nil {
		return nil, false
	}
	g, ok := h.Group(id)
	if !ok {
		return nil, false
	}
	return groupAdapter{g, a}, true
}

// Groups implements gateway.Host.
func (a *hostAdapter) Groups() []uint32 {
	h := a.host.Load()
	if h == nil {
		return nil
	}
	groups := h.Groups()
	ids := make([]uint32, len(groups))
	for i, g := range groups {
		ids[i] = g.ID()
	}
	return ids
}

// DiskFree implements gateway.Host.
func (a *hostAdapter) DiskFree() int64 { return a.diskFree() }

// groupAdapter is one group in the gateway's terms.
type groupAdapter struct {
	*raftgroup.Group
	host *hostAdapter
}

// ProposeAsync implements gateway.Proposer.
func (g groupAdapter) ProposeAsync(frames []byte, deadline time.Time) gateway.Proposal {
	g.host.asked()
	if err := g.host.quorum(g.Group); err != nil {
		return refusal{err}
	}
	return proposal{g.Group.ProposeAsync(frames, deadline)}
}

type proposal struct{ *raftgroup.Proposal }

func (p proposal) Err() error { return groupError(p.Proposal.Err()) }

// refusal is a proposal that was not even queued.
type refusal struct{ err error }

var ended = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

func (r refusal) Done() <-chan struct{} { return ended }
func (r refusal) Err() error            { return groupError(r.err) }

// ReadBarrier implements gateway.Reader.
func (g groupAdapter) ReadBarrier(ctx context.Context) error {
	return groupError(g.Group.ReadBarrier(ctx))
}

// Contact implements gateway.Reader.
func (g groupAdapter) Contact() (time.Duration, bool) { return g.Group.LastContact() }

// Data implements gateway.Reader.
func (g groupAdapter) Data() gateway.Data {
	g.host.asked()
	if s := g.Group.Shard(); s != nil {
		return s
	}
	return noData{raftgroup.ErrClosed}
}

// Cut implements gateway.Operator.
func (g groupAdapter) Cut(ctx context.Context, purpose string, ttl time.Duration) (string, uint64, error) {
	id, at, err := g.Group.Cut(ctx, purpose, ttl)
	return id, at.Index, groupError(err)
}

// End ends a cut's view before its time.
func (g groupAdapter) End(ctx context.Context, cutID string) error {
	_, err := g.Group.End(ctx, cutID)
	return groupError(err)
}

// AwaitRoot implements gateway.Operator.
func (g groupAdapter) AwaitRoot(ctx context.Context, cutID string) (gateway.Root, error) {
	root, at, err := g.Group.Root(ctx, cutID)
	if isLeafDamage(err) {
		return g.damagedRoot(ctx, func(s *storage.Shard) (*storage.View, error) { return s.AwaitView(ctx, cutID) })
	}
	if isFileDamage(g.Group, err) {
		return gateway.Root{Lineage: g.Group.Lineage()}, classed{gateway.ErrStructure, err}
	}
	if err != nil {
		return gateway.Root{}, groupError(err)
	}
	return g.root(root.String(), at), nil
}

// damagedRoot is the root of a replica with leaves that cannot be read.
func (g groupAdapter) damagedRoot(ctx context.Context, look func(*storage.Shard) (*storage.View, error)) (gateway.Root, error) {
	shard := g.Group.Shard()
	if shard == nil {
		return gateway.Root{}, groupError(g.NoShard())
	}
	view, err := look(shard)
	if err != nil {
		return gateway.Root{}, groupError(err)
	}
	defer func() { _ = view.Close() }()
	root, unreadable, err := readableRoot(ctx, view)
	if err != nil {
		return gateway.Root{}, groupError(err)
	}
	r := g.root(root.String(), view.Index())
	r.Doubts = append(r.Doubts, unreadable...)
	slices.SortFunc(r.Doubts, digest.Leaf.Compare)
	r.Doubts = slices.Compact(r.Doubts)
	return r, nil
}

// CurrentRoot implements gateway.Operator: a view of what is applied now, that
// puts nothing in the log.
func (g groupAdapter) CurrentRoot(ctx context.Context) (gateway.Root, error) {
	root, at, err := g.Group.CurrentRoot(ctx)
	if isLeafDamage(err) {
		return g.damagedRoot(ctx, func(s *storage.Shard) (*storage.View, error) { return s.Look(ctx) })
	}
	if err != nil {
		return gateway.Root{}, groupError(err)
	}
	return g.root(root.String(), at), nil
}

func (g groupAdapter) root(root string, at storage.Position) gateway.Root {
	r := gateway.Root{Index: at.Index, Term: at.Term, Lineage: g.Group.Lineage(), Root: root}
	if s := g.Group.Shard(); s != nil {
		stats := s.Stats()
		r.Bytes, r.Points = stats.Bytes, stats.Points
		r.Doubts = s.Distrusted()
	}
	return r
}

// Trim implements gateway.Operator.
func (g groupAdapter) Trim(ctx context.Context, through uint64) error {
	return groupError(g.Group.TrimThrough(ctx, through))
}

// StepDown implements gateway.Operator.
func (g groupAdapter) StepDown(ctx context.Context, to string) error {
	if to == "" {
		return groupError(g.Group.StepDown(ctx))
	}
	voter, err := g.voter(to)
	if err != nil || g.leads(voter) {
		return err
	}
	return groupError(g.Group.TransferLeadership(ctx, voter, transferPause))
}

// leads reports whether a voter is this replica and leads already.
func (g groupAdapter) leads(voter membership.ServerID) bool {
	return voter == g.Group.Self() && g.Group.IsLeader()
}

// voter finds the voter on a node.
func (g groupAdapter) voter(node string) (membership.ServerID, error) {
	members, _, err := g.Group.Members()
	if err != nil {
		return membership.ServerID{}, groupError(err)
	}
	for _, m := range members {
		if m.ID.Name == node && m.Voter {
			return m.ID, nil
		}
	}
	return membership.ServerID{}, fmt.Errorf("%w: %s is no voter of group %d", gateway.ErrRefused, node, g.ID())
}

// TrimPlan implements gateway.Operator.
func (g groupAdapter) TrimPlan() (gateway.TrimPlan, error) {
	p, err := g.Group.TrimPlan()
	return gateway.TrimPlan{
		First: p.First, Through: p.Through, Bytes: p.Bytes, Why: p.Why,
		LastIndex: p.LastIndex, LastTerm: p.LastTerm, Applied: p.Applied, Term: p.Term,
	}, groupError(err)
}

// StepDownTarget implements gateway.Operator.
func (g groupAdapter) StepDownTarget(ctx context.Context, to string) (string, error) {
	var voter membership.ServerID
	var err error
	if to != "" {
		if voter, err = g.voter(to); err != nil || g.leads(voter) {
			return to, err
		}
	}
	target, err := g.Group.TransferTarget(ctx, voter)
	return target.Name, groupError(err)
}

// Status implements gateway.Operator.
func (g groupAdapter) Status() gateway.ReplicaStatus {
	s := g.Group.Status()
	r := api.Replica{
		Node: s.Self.Name, Role: s.Role.String(), State: s.State.String(),
		AppliedIndex: s.AppliedIndex, LogFirst: s.LogFirst, LogLast: s.LogLast,
		Bytes: s.Bytes, Points: s.Points, Why: s.Why,
	}
	if s.Running {
		r.Lag = &s.Lag
	}
	if s.Root != "" {
		r.Root, r.RootIndex = &s.Root, &s.RootIndex
	}
	if s.LastContact >= 0 {
		ms := s.LastContact.Milliseconds()
		r.LastContactMs = &ms
	}
	status := gateway.ReplicaStatus{
		Group: s.Group, Replica: r, Leader: s.Leader.Name, Term: s.Term, CommitIndex: s.CommitIndex,
	}
	status.Suspicion = suspicionOf(g.Group)
	status.LastScrubAt = api.At(g.host.scrubbed(s.Group))
	status.Replica.Why = joinWhy(status.Replica.Why, g.host.syncs.Why(s.Group, s.State != raftgroup.ReplicaReady))
	behind := make(map[string]string)
	for _, gap := range s.Gaps {
		behind[gap.Peer.Name] = joinWhy(gap.WhyBehind(), g.host.syncs.Told(s.Group, gap.Peer.NodeID))
	}
	if loop := g.host.reconcile.Load(); loop != nil {
		switch why, about := loop.Waits(s.Group); {
		case why == "":
		case !about.IsZero() && about.NodeID != s.Self.NodeID:
			behind[about.Name] = why
		case status.Replica.Why == "":
			status.Replica.Why = why
		}
	}
	if len(behind) > 0 {
		status.Behind = behind
	}
	return status
}

// joinWhy puts what is being done about it behind what is wrong.
func joinWhy(wrong, done string) string {
	if wrong == "" || done == "" {
		return wrong + done
	}
	return wrong + "; " + done
}

// noData answers for a replica that is not open.
type noData struct{ err error }

func (d noData) Scan(context.Context, storage.Query, func(storage.Series, *blocks.Columns) error) error {
	return groupError(d.err)
}
func (d noData) Collections(string) ([]string, error) { return nil, groupError(d.err) }

// groupError says in the gateway's terms what is known after an error.
func groupError(err error) error {
	var elsewhere raftgroup.ErrNotLeader
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raftgroup.ErrUnknown): // first: an unknown error may wrap anything
		return classed{gateway.ErrUnknown, err}
	case errors.As(err, &elsewhere):
		return &gateway.NotLeaderError{Leader: elsewhere.Leader.Name}
	case errors.Is(err, raftgroup.ErrBusy):
		return classed{gateway.ErrBusy, err}
	case errors.Is(err, raftgroup.ErrNoSpace):
		return classed{gateway.ErrNoSpace, err}
	case errors.Is(err, raftgroup.ErrInvalid):
		return classed{gateway.ErrRefused, err}
	case errors.Is(err, storage.ErrNotPinned):
		return classed{gateway.ErrNotPinned, err}
	case errors.Is(err, raftgroup.ErrAway):
		return classed{gateway.ErrAway, err}
	case errors.Is(err, raftgroup.ErrClosed):
		return classed{gateway.ErrNotRunning, err}
	case errors.Is(err, raftgroup.ErrNotApplied), errors.Is(err, raftgroup.ErrNoQuorum):
		return classed{gateway.ErrNotApplied, err}
	}
	return classed{gateway.ErrUnknown, err}
}
