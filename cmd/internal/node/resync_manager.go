package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/leafstream"
	"github.com/flotilla-db/flotilla/snapshot/transfer"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// maxQueuedJobs bounds the jobs that were opened and not yet taken up.
const maxQueuedJobs = 8192

// resyncs runs the resyncs whose target is this node, one a group, and answers
// those of other nodes whose group is led here.
//
// A job begins with its row, asks its leader for a verdict, waits for a slot if
// it is going to copy, and is driven by the engine from then on. It outlives its
// process: a row that is left open is taken up by the next one under its id.
type resyncs struct {
	node      *Node
	log       *slog.Logger
	caller    groupCaller
	meter     *resync.Meter
	engine    *resync.Engine
	responder *resync.Responder
	leaves    *leafstream.Server
	in        *transfer.Limits  // of what comes into this node in copies
	out       *transfer.Limiter // bytes that leave this node in copies
	slots     *syncSlots
	nudges    *nudgeBook

	queue chan *syncJob // to be driven

	mu      sync.Mutex
	jobs    map[uint32]*syncJob // guarded by mu: what waits or runs, by group
	past    map[uint32]pastSync // guarded by mu
	tally   syncTally           // guarded by mu
	stopped bool                // guarded by mu
	running bool                // guarded by mu: run has begun
	up      chan struct{}       // closed when running is set
}

// pastSync is what came of the last job of a group, or of the last look at one
// that has none.
type pastSync struct {
	next   time.Time // nothing starts by itself before
	failed int       // in a row
	log    bool      // the last verdict was that the log brings it up to date
	why    string    // "": all is well
}

// syncTally counts what has ended since there was nothing to do: one line tells
// of it, not one a group.
type syncTally struct {
	done, failed, cancelled int
	bytes                   int64
}

// newResyncs makes it; nothing happens until run.
func newResyncs(n *Node) *resyncs {
	m := &resyncs{
		node: n, log: n.log, caller: groupCaller{n, newLeadersNamed()}, meter: &resync.Meter{}, in: transfer.NewLimits(0), out: transfer.NewLimiter(0), nudges: newNudgeBook(),
		queue: make(chan *syncJob, maxQueuedJobs), jobs: make(map[uint32]*syncJob), past: make(map[uint32]pastSync),
		up: make(chan struct{}),
	}
	m.slots = newSyncSlots(func() int { return m.settings().MaxConcurrent })
	m.engine = resync.New(resync.Config{
		Node: n.id, Replica: m.replicaOf, StagingDir: m.stagingDir, Room: m.room, Caller: m.caller,
		Limit:   func() int64 { return m.settings().Rate },
		Fetcher: leafFetcher{n, m.in}, Jobs: m, Rates: m.meter, Hooks: n.opts.SyncHooks, Logger: n.log,
	})
	m.responder = resync.NewResponder(resync.ResponderConfig{Led: m.led, Logger: n.log})
	m.leaves = leafstream.NewServer(transfer.NewServer(transfer.ServerOptions{Views: leafViews{n}, Out: m.out, Logger: n.log}))
	return m
}

func (m *resyncs) settings() config.Sync { return m.node.policyConfig().Storage.Sync }

// room is how many bytes a copy may write before the reserve is touched.
func (m *resyncs) room() (int64, error) {
	free, err := diskFree(m.node.cfg.DataDir)
	return max(0, free-m.node.cfg.Storage.DiskReserve), err
}

// Begin implements gateway.Resyncs: all groups or none. The caller learns nothing
// of the jobs that were begun before one that could not be, so those are cancelled.
func (m *resyncs) Begin(ctx context.Context, groups []uint32, o gateway.ResyncOptions) ([]api.Job, error) {
	m.untilUp(ctx)
	jobs := make([]api.Job, 0, len(groups))
	var begun []*syncJob
	for _, group := range groups {
		asked := &syncJob{Group: group, Kind: api.JobResync, Trigger: triggerAsked, Options: o}
		j, err := m.open(asked)
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

// upWait bounds untilUp.
const upWait = 5 * time.Second

// untilUp waits for the first moments of a process to pass, in which nothing is begun yet.
func (m *resyncs) untilUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, upWait)
	defer cancel()
	select {
	case <-m.up:
	case <-ctx.Done():
	}
}

// errSyncsStopped: nothing is begun any more, or not yet.
var errSyncsStopped = api.E(api.NotReady, "retry, or see `flotilla nodes`", "the node takes no resyncs now")

// open begins the job of a group, or finds the one that it has.
func (m *resyncs) open(j *syncJob) (*syncJob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped || !m.running {
		return nil, errSyncsStopped
	}
	if has := m.jobs[j.Group]; has != nil {
		if j.Kind == api.JobMove && has.Kind != api.JobMove {
			return nil, api.E(api.Conflict, "wait for it, or cancel it", "job %s of the group runs", has.row.ID()).InGroup(j.Group)
		}
		return has, nil
	}
	return m.openLocked(j, api.Job{})
}

// openLocked puts a job on the list and in the queue; row is what an earlier
// process left of it.
func (m *resyncs) openLocked(j *syncJob, row api.Job) (*syncJob, error) {
	if j.ID == "" {
		j.ID = uuid.NewString()
	}
	if row.ID == "" {
		target, mode, stage, reason := m.node.id.Name, j.mode().String(), resync.Plan.String(), j.reason()
		row = api.Job{
			ID: j.Kind + "-" + target + "-" + j.ID, Kind: j.Kind, GroupID: &j.Group, Target: &target, Mode: &mode, Stage: &stage,
			Reason: &reason, Attempt: 1, Status: api.StatusQueued,
		}
	}
	note, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("note of job %s: %w", row.ID, err)
	}
	j.stop = make(chan struct{})
	j.cancel = sync.OnceFunc(func() { close(j.stop) })
	if j.row, err = m.node.gateway.Jobs().Open(row, note, j.cancel); err != nil {
		return nil, err
	}
	select {
	case m.queue <- j:
	default: // as many as there can be groups: never
		j.row.End(api.StatusFailed, func(r *api.Job) { text := "too many jobs wait"; r.Error = &text })
		return nil, api.E(api.Busy, "wait for jobs to end", "%d jobs wait on this node", maxQueuedJobs)
	}
	m.jobs[j.Group] = j
	m.log.Debug("resync begins", "group", j.Group, "job", row.ID, "trigger", j.Trigger)
	return j, nil
}

// jobOf finds the job of a group.
func (m *resyncs) jobOf(group uint32) *syncJob {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.jobs[group]
}

// Update implements resync.Jobs.
func (m *resyncs) Update(r resync.Row) error {
	j := m.jobOf(r.Group)
	if r.DryRun || j == nil || j.ID != r.ID {
		return nil
	}
	j.shape(&r)
	if r.Ending != "" && !r.Status.Final() {
		if j.Kind == api.JobMove { // its old replica is still to go
			return m.noteMove(j, r)
		}
		return j.row.Ending(string(r.Ending), func(row *api.Job) { showRow(row, r) })
	}
	if r.BlockedBy == "" && r.Status == resync.Running && (r.Stage == resync.Fetch || r.Stage == resync.Install) {
		r.BlockedBy = m.node.governor.Why()
	}
	j.row.Change(func(row *api.Job) {
		showRow(row, r)
		if r.Status == resync.Running || r.Status == resync.Stalled {
			row.Status = string(r.Status)
		}
	})
	if r.Verdict != "" && !j.judged.Swap(true) {
		j.row.Keep()
	}
	if installed := r.Stage == resync.Replay || r.Stage == resync.Promote; installed != j.after.Swap(installed) && installed {
		j.giveSlot() // what is left moves no leaves
		m.copied(j.Group)
	}
	return nil
}

// run takes up what earlier processes left, and drives what is opened, until
// ctx ends; jobs that have not ended by then are the next process's.
func (m *resyncs) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { m.keepRates(ctx) })
	m.takeUp()
	wg.Go(func() { m.watch(ctx) })
	for {
		select {
		case j := <-m.queue:
			wg.Go(func() { m.drive(ctx, j) })
		case <-ctx.Done():
			m.mu.Lock()
			m.stopped = true
			m.mu.Unlock()
			return
		}
	}
}

// close ends what is held for other nodes' jobs.
func (m *resyncs) close() error { return errors.Join(m.leaves.Close(), m.responder.Close()) }

// request is what the engine is asked for.
func (m *resyncs) request(j *syncJob) resync.Request {
	s, share := m.settings(), gateway.DefaultLeaderShare
	if j.Options.LeaderShare != nil {
		share = *j.Options.LeaderShare
	}
	mode, _ := walgap.ParseMode(j.Options.Mode) // checked by the gateway
	r := resync.Request{
		ID: j.ID, Group: j.Group, Mode: mode, From: j.Options.From, MaxPause: j.Options.MaxPause, LeaderShare: share,
		Rate: j.Options.Rate, MaxAttempts: s.MaxAttempts, Trigger: string(j.Trigger),
	}
	if j.Repair != nil {
		r.Only, r.Bad = j.Repair.Good, j.Repair.Bad
	}
	if j.row != nil { // a plan has none
		r.StartedAt = j.row.Job().StartedAt.Time
	}
	return r
}
