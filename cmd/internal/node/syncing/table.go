package syncing

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// maxQueuedJobs bounds the jobs that were opened and not yet taken up.
const maxQueuedJobs = 8192

// table is what waits or runs, one job a group, and what came of those that ended.
type table struct {
	config *Config
	copied func(group uint32) // told that a replica has its copy

	queue chan *job // to be driven

	mu      sync.Mutex
	jobs    map[uint32]*job // guarded by mu: what waits or runs, by group
	past    map[uint32]past // guarded by mu
	tally   tally           // guarded by mu
	stopped bool            // guarded by mu
	running bool            // guarded by mu: jobs may begin
	up      chan struct{}   // closed when running is set
}

func newTable(c *Config, copied func(group uint32)) *table {
	return &table{
		config: c, copied: copied, queue: make(chan *job, maxQueuedJobs), jobs: make(map[uint32]*job), past: make(map[uint32]past),
		up: make(chan struct{}),
	}
}

// upWait bounds untilUp.
const upWait = 5 * time.Second

// untilUp waits for the first moments of a process to pass, in which nothing is begun yet.
func (t *table) untilUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, upWait)
	defer cancel()
	select {
	case <-t.up:
	case <-ctx.Done():
	}
}

// errSyncsStopped: nothing is begun any more, or not yet.
var errSyncsStopped = api.E(api.NotReady, "retry, or see `flotilla nodes`", "the node takes no resyncs now")

// open begins the job of a group, or finds the one that it has.
func (t *table) open(j *job) (*job, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped || !t.running {
		return nil, errSyncsStopped
	}
	if has := t.jobs[j.Group]; has != nil {
		if j.Kind == api.JobMove && has.Kind != api.JobMove {
			return nil, api.E(api.Conflict, "wait for it, or cancel it", "job %s of the group runs", has.row.ID()).InGroup(j.Group)
		}
		return has, nil
	}
	return t.openLocked(j, api.Job{})
}

// openLocked puts a job on the list and in the queue; row is what an earlier
// process left of it.
func (t *table) openLocked(j *job, row api.Job) (*job, error) {
	if j.ID == "" {
		j.ID = uuid.NewString()
	}
	if row.ID == "" {
		target, mode, stage, reason := t.config.Self.Name, j.mode().String(), resync.Plan.String(), j.reason()
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
	if j.row, err = t.config.Rows().Open(row, note, j.cancel); err != nil {
		return nil, err
	}
	select {
	case t.queue <- j:
	default: // as many as there can be groups: never
		j.row.End(api.StatusFailed, func(r *api.Job) { text := "too many jobs wait"; r.Error = &text })
		return nil, api.E(api.Busy, "wait for jobs to end", "%d jobs wait on this node", maxQueuedJobs)
	}
	t.jobs[j.Group] = j
	t.config.Logger.Debug("resync begins", "group", j.Group, "job", row.ID, "trigger", j.Trigger)
	return j, nil
}

// of finds the job of a group.
func (t *table) of(group uint32) *job {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.jobs[group]
}

// Update implements resync.Jobs.
func (t *table) Update(r resync.Row) error {
	j := t.of(r.Group)
	if r.DryRun || j == nil || j.ID != r.ID {
		return nil
	}
	j.shape(&r)
	if r.Ending != "" && !r.Status.Final() {
		if j.Kind == api.JobMove { // its old replica is still to go
			return j.noteMove(r)
		}
		return j.row.Ending(string(r.Ending), func(row *api.Job) { showRow(row, r) })
	}
	if r.BlockedBy == "" && r.Status == resync.Running && (r.Stage == resync.Fetch || r.Stage == resync.Install) {
		r.BlockedBy = t.config.Governor.Why()
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
		t.copied(j.Group)
	}
	return nil
}

// begin opens a job, or notes what hinders it.
func (t *table) begin(j *job) {
	if _, err := t.open(j); err != nil {
		t.pause(j.Group, false, err.Error())
	}
}

// reserve refuses a move that could not begin, and keeps the group free for it
// while it is assigned anew: the new replica would be taken up by itself.
func (t *table) reserve(group uint32, from string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped || !t.running {
		return errSyncsStopped
	}
	if j := t.jobs[group]; j != nil && !(j.Kind == api.JobMove && j.From == from) {
		return api.E(api.Conflict, "wait for it, or cancel it", "job %s of the group runs", j.row.ID()).InGroup(group)
	}
	past := t.past[group]
	past.next = time.Now().Add(syncRetry)
	t.past[group] = past
	return nil
}

// start lets jobs begin: first those that earlier processes left, in their order.
func (t *table) start(left []leftJob) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running = true
	close(t.up)
	for _, l := range left {
		l.row.BlockedBy = nil
		if t.jobs[l.job.Group] != nil || l.row.Final() {
			continue
		}
		if _, err := t.openLocked(l.job, l.row); err != nil {
			t.config.Logger.Warn("a job of an earlier process cannot go on", "group", l.job.Group, "job", l.row.ID, "err", err)
		}
	}
}

// stop lets nothing begin any more.
func (t *table) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
}
