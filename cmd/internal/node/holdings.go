package node

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage"
)

// handOverLimit bounds how long leaderships are handed over when the node stops;
// the time for flushing what is in memory must be left.
const handOverLimit = 4 * time.Second

// holdAgain is how often groups that should run and do not are tried again: what
// kept them from it, no file handles or no memory, may have passed.
const holdAgain = 5 * time.Second

// openHost makes the host of this node's groups and opens what the data
// directory holds.
func (n *Node) openHost(ctx context.Context, clusterID string) error {
	host, err := raftgroup.Open(raftgroup.HostConfig{
		Self: n.id, ClusterID: clusterID, Dir: n.cfg.DataDir, Engine: n.engine, Votes: n.votes,
		Transport: n.groupTransport, Call: groupCall(n.mux), Primary: n.primaryOf,
		Budget: storage.NewBudget(n.cfg.Storage.HeadMemory), Window: n.window(),
		Timers: n.opts.GroupTimers, LogRetention: n.cfg.Storage.LogRetention,
		Logger: n.log, Fatal: n.fatal, OnChange: n.groupChanged, OnSuspect: n.checks.Suspects.Told, Turns: n.turns, OnWrite: n.governor.Foreground, InstallStep: n.opts.InstallStep,
	})
	if err != nil {
		return err
	}
	n.hosts.host.Store(host)
	n.stages.add("groups", func(ctx context.Context) error {
		if n.killed.Load() {
			return host.Abandon()
		}
		limited, cancel := context.WithTimeout(ctx, handOverLimit)
		defer cancel()
		return host.Close(limited)
	})
	// What is on disk starts before the table is known here: the groups of a
	// cluster that restarts need no meta leader to elect their own.
	var wants []raftgroup.Want
	for _, group := range host.Known() {
		// What a copied directory holds beyond its node's places may serve a move yet.
		if n.identity.get().Adopted != nil && !n.dir.Table().Assignments[group].Holds(n.id.Name) {
			continue
		}
		wants = append(wants, raftgroup.Want{Group: group, Assigned: true})
	}
	if err := host.EnsureAll(ctx, wants); err != nil && ctx.Err() == nil {
		n.log.Warn("some groups could not be opened", "err", err)
	}
	return ctx.Err()
}

func (n *Node) groupTransport(group uint32, lineage string, self membership.ServerID) (raftgroup.Transport, error) {
	return n.mux.Transport(group, lineage, self), nil
}

// holdGroups keeps open what the table assigns to this node, from now on.
func (n *Node) holdGroups(ctx context.Context) {
	again := time.NewTicker(holdAgain)
	defer again.Stop()
	failed := ""
	for {
		table := n.dir.Table()
		failed = n.holdNow(ctx, table, failed)
		select {
		case <-ctx.Done():
			return
		case <-table.Changed():
		case <-again.C:
		}
	}
}

// holdNow opens every group that this node should run and does not; one that is
// refused for good is only asked. What the table no longer assigns is the matter of
// removal.go. It
// returns what failed, and says so unless that is what failed before.
func (n *Node) holdNow(ctx context.Context, table *directory.Table, before string) (failed string) {
	host := n.hosts.host.Load()
	var wants []raftgroup.Want
	for _, a := range table.HeldBy(n.id.Name) {
		if g, open := host.Group(a.Group); open && g.Running() {
			continue
		}
		w := raftgroup.Want{Group: a.Group, Assigned: true}
		if b, ok := table.Births[a.Group]; ok {
			w.Birth = &b
		}
		wants = append(wants, w)
	}
	if len(wants) == 0 {
		return ""
	}
	if err := host.EnsureAll(ctx, wants); err != nil && ctx.Err() == nil {
		if failed = err.Error(); failed != before {
			n.log.Warn("some groups could not be opened", "err", err)
		}
	}
	if loop := n.hosts.reconcile.Load(); loop != nil {
		loop.Poke()
	}
	return failed
}

// primaryOf names the node that should lead a group.
func (n *Node) primaryOf(group uint32) string { return n.dir.Table().Assignments[group].Primary }
