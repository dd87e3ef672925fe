package syncing

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// replicas are those of this node.
type replicas struct {
	config *Config
	table  *table
	slots  *slots
}

// of finds one; a node that holds no such group has none yet.
func (r *replicas) of(group uint32) (resync.Replica, error) {
	g, err := r.config.Group(group)
	if err != nil {
		return nil, err
	}
	return replica{r, g, r.config.ClusterID(), storage.StageOptions{Window: r.config.Window(), Turns: r.config.Turns, Logger: r.config.Logger.With("group", group)}}, nil
}

// turn waits until the job of a group may copy. One that goes back to copying once
// its copy was installed, or that was not going to copy at first, waits for its slot
// here.
func (r *replicas) turn(ctx context.Context, group uint32, owner string) error {
	if j := r.table.of(group); j != nil && j.ID == owner {
		return j.takeSlot(ctx, r.config, r.slots)
	}
	return nil
}

// replica is a replica of this node as the target of a resync.
type replica struct {
	all     *replicas
	group   *raftgroup.Group
	cluster string
	stage   storage.StageOptions // without a path and an identity
}

// Report implements resync.Replica.
func (r replica) Report(ctx context.Context) (resync.Standing, error) {
	report, err := r.group.ReportFlushed(ctx)
	if err != nil {
		return resync.Standing{}, err
	}
	return standingOf(r.cluster, report), nil
}

// standingOf translates a replica's report.
func standingOf(cluster string, r raftgroup.Report) resync.Standing {
	return resync.Standing{Server: r.Server, Target: walgap.Target{
		Cluster: cluster, Group: r.Group, Lineage: r.Lineage, Readable: r.Foreign == "", Damage: cmp.Or(r.Damage, r.Foreign), HasData: r.HasData,
		Applied: walgap.Position(r.Applied), First: r.First, Last: r.Last, Terms: termRuns(r.Terms), Bytes: uint64(max(r.Bytes, 0)),
	}}
}

func termRuns(runs []raftgroup.TermRun) []walgap.TermRun {
	out := make([]walgap.TermRun, len(runs))
	for i, r := range runs {
		out[i] = walgap.TermRun(r)
	}
	return out
}

// Progress implements resync.Replica.
func (r replica) Progress(context.Context) (resync.Progress, error) {
	s := r.group.Status()
	p := resync.Progress{Running: s.Running, Applied: s.AppliedIndex, Why: s.Why}
	for _, m := range s.Members {
		if m.ID == s.Self {
			p.Member, p.Voter = true, m.Voter
		}
	}
	return p, nil
}

// AwaitApplied implements resync.Applying.
func (r replica) AwaitApplied(ctx context.Context, index uint64) error {
	return r.group.AwaitApplied(ctx, index)
}

// Contents implements resync.Replica.
func (r replica) Contents(ctx context.Context) ([]digest.Entry, error) {
	shard := r.group.Shard()
	if shard == nil {
		return nil, nil // nothing that can be read without a hold
	}
	view, err := shard.Look(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = view.Close() }()
	_, entries, err := view.Root(ctx)
	return entries, err
}

// Turn implements resync.Queued.
func (r replica) Turn(ctx context.Context, owner string) error {
	return r.all.turn(ctx, r.group.ID(), owner)
}

// Hold implements resync.Replica.
func (r replica) Hold(ctx context.Context, owner string) (resync.Held, error) {
	hold, err := r.group.TakeHold(ctx, owner)
	if err != nil {
		return nil, err
	}
	return &heldReplica{replica: r, hold: hold}, nil
}

// heldReplica is a replica that waits for an install.
type heldReplica struct {
	replica
	hold *raftgroup.Hold
}

// Contents implements resync.Held: none of what cannot be read.
func (h *heldReplica) Contents(ctx context.Context) ([]digest.Entry, error) {
	view := h.hold.View()
	if view == nil {
		return nil, nil
	}
	_, entries, err := view.Root(ctx)
	if !errors.Is(err, storage.ErrDamaged) {
		return entries, err
	}
	states, err := view.States(ctx, false, nil)
	if err != nil {
		return nil, nil
	}
	for i := range states {
		if states[i].Err == nil {
			entries = append(entries, states[i].Entry)
		}
	}
	return entries, nil
}

// Install implements resync.Held.
func (h *heldReplica) Install(ctx context.Context, i resync.Installation) error {
	b, ok := i.Build.(*shardBuild)
	if !ok {
		return fmt.Errorf("install group %d: a build of another kind", h.group.ID())
	}
	cut, err := storage.ParseState(i.State)
	if err != nil {
		return fmt.Errorf("install group %d: %w", h.group.ID(), errors.Join(err, b.stage.Close()))
	}
	err = h.hold.Install(ctx, raftgroup.Installation{
		Lineage: i.Lineage, State: i.State, Cut: cut, Stage: b.stage, InPlace: i.InPlace, Manifest: i.Manifest,
		Exhibit: h.all.table.exhibitOf(h.group.ID()),
	})
	if errors.Is(err, raftgroup.ErrKnowsMore) {
		return fmt.Errorf("%w: %w", resync.ErrKnowsMore, err)
	}
	return err
}

// Release implements resync.Held.
func (h *heldReplica) Release(ctx context.Context) error { return h.hold.Release(ctx) }
