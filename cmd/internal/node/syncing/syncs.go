package syncing

import (
	"context"
	"errors"
	"sync"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/leafstream"
	"github.com/flotilla-db/flotilla/snapshot/transfer"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// Syncs runs the resyncs whose target is this node, and answers those of other
// nodes whose group is led here. It is safe for concurrent use.
type Syncs struct {
	config  *Config
	table   *table
	slots   *slots
	driver  *driver
	watch   *watch
	mover   *mover
	planner *planner
	nudges  *nudges
	rates   rates
	leaders leaders

	leading   *leading
	responder *resync.Responder
	leaves    *leafstream.Server
}

// New makes it; nothing happens until Run.
func New(c Config) *Syncs {
	meter, pipes := &resync.Meter{}, newThrottle()
	s := &Syncs{config: &c, rates: newRates(&c, meter), leaders: leaders{&c, newNamedLeaders()}, leading: &leading{&c}}
	s.table = newTable(&c, s.leaders.copied)
	s.slots = newSlots(func() int { return c.Settings().MaxConcurrent })
	asker := &asker{&c, s.leaders, meter, &replicas{&c, s.table, s.slots}}
	engine := resync.New(resync.Config{
		Node: c.Self, Replica: asker.replicas.of, StagingDir: c.stagingDir, Room: c.Room, Caller: s.leaders,
		Limit:   func() int64 { return c.Settings().Rate },
		Share:   c.Governor.Share,
		Fetcher: leafFetcher{&c, pipes.in}, Jobs: s.table, Rates: meter, Hooks: c.Hooks, Logger: c.Logger,
	})
	s.mover = &mover{&c, s.table}
	s.driver = &driver{&c, s.table, s.slots, s.mover, engine, asker.look}
	s.planner = &planner{&c, s.table, asker, engine}
	s.nudges = &nudges{&c, s.table, newNudgeBook()}
	s.watch = &watch{&c, s.table, asker, s.nudges, s.slots, pipes}
	s.responder = resync.NewResponder(resync.ResponderConfig{Led: s.leading.led, Logger: c.Logger})
	s.leaves = leafstream.NewServer(transfer.NewServer(transfer.ServerOptions{Views: leafViews{&c}, Out: pipes.out, Logger: c.Logger}))
	return s
}

// Run takes up what earlier processes left, and drives what is opened, until
// ctx ends; jobs that have not ended by then are the next process's.
func (s *Syncs) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.rates.keep(ctx) })
	s.driver.takeUp()
	wg.Go(func() { s.watch.run(ctx) })
	s.driver.run(ctx)
}

// Close ends what is held for other nodes' jobs.
func (s *Syncs) Close() error { return errors.Join(s.leaves.Close(), s.responder.Close()) }

// Leaves gives this node's leaves to those who copy from it.
func (s *Syncs) Leaves() *leafstream.Server { return s.leaves }

// Begin implements gateway.Resyncs: all groups or none. The caller learns nothing
// of the jobs that were begun before one that could not be, so those are cancelled.
func (s *Syncs) Begin(ctx context.Context, groups []uint32, o gateway.ResyncOptions) ([]api.Job, error) {
	s.table.untilUp(ctx)
	jobs := make([]api.Job, 0, len(groups))
	var begun []*job
	for _, group := range groups {
		asked := &job{Group: group, Kind: api.JobResync, Trigger: triggerAsked, Options: o}
		j, err := s.table.open(asked)
		if err != nil {
			for _, j := range begun {
				j.cancel()
			}
			return nil, err
		}
		if j == asked { // not one that it had
			begun = append(begun, j)
		}
		jobs = append(jobs, j.row.Job())
	}
	return jobs, nil
}

// BeginRepair begins the job that brings a replica of this node to equality with
// good ones, or finds the job that the group has: a resync by the leaves that
// differ, or, where the file as a whole is damaged, of all. In the first moments of a
// process it waits: a replica that a start finds wrong is often asked for just then.
func (s *Syncs) BeginRepair(ctx context.Context, group uint32, r antientropy.Repair) (api.Job, error) {
	s.table.untilUp(ctx)
	j := &job{Group: group, Kind: api.JobRepair, Trigger: triggerRepair, Repair: &repairOf{Good: r.Good, Bad: r.Leaves, Why: r.Why}}
	j.Options.Mode = api.ModePartialSync
	if r.Structure {
		j.Options.Mode = api.ModeFullSync
	}
	j, err := s.table.open(j)
	if err != nil {
		return api.Job{}, err
	}
	return j.row.Job(), nil
}

// Move implements gateway.Resyncs.
func (s *Syncs) Move(ctx context.Context, group uint32, from string, o gateway.ResyncOptions) (api.Job, error) {
	return s.mover.move(ctx, group, from, o)
}

// Plan implements gateway.Resyncs.
func (s *Syncs) Plan(ctx context.Context, groups []uint32, o gateway.ResyncOptions) []api.GroupPlan {
	return s.planner.plan(ctx, groups, o)
}

// Nudge implements reconcile.Copies. A node that has not answered yet may take
// it: the log is only taken where a node says that it does not copy.
func (s *Syncs) Nudge(ctx context.Context, group uint32, server membership.ServerID) (takes bool) {
	a, known := s.nudges.nudge(ctx, group, server.NodeID)
	return a.Takes || !known
}

// Told is what a node answered of late that was nudged about its replica of a
// group; "" if nothing.
func (s *Syncs) Told(group uint32, node membership.NodeID) string {
	a, _ := s.nudges.book.last(nudgeKey{group, node})
	return a.Why
}

// Busy reports whether a group has a job here.
func (s *Syncs) Busy(group uint32) bool { return s.table.of(group) != nil }

// Why says what a replica of this node waits for, "" if for nothing that
// concerns a resync; needs: it cannot get on by itself.
func (s *Syncs) Why(group uint32, needs bool) string { return s.table.why(group, needs) }

// Copying makes the function that says whether leaves came in or went out since it
// was asked last.
func (s *Syncs) Copying() func() bool {
	given := uint64(0)
	return func() bool {
		was := given
		given = s.leaves.Answers()
		return given != was || s.slots.copying() > 0
	}
}
