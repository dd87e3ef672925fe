package resync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// Request asks for a job.
type Request struct {
	ID          string        `json:"id"` // uuid; the log lease has it too
	Group       uint32        `json:"group"`
	Mode        walgap.Mode   `json:"mode"`
	DryRun      bool          `json:"dry_run,omitempty"`
	From        string        `json:"from,omitempty"` // node name: the only source, empty: all
	MaxPause    time.Duration `json:"max_pause"`      // 0: DefaultMaxPause
	LeaderShare float64       `json:"leader_share"`   // 0..1
	Rate        int64         `json:"rate,omitempty"` // bytes/s, 0: no limit of its own
	MaxAttempts int           `json:"max_attempts"`   // 0: DefaultMaxAttempts
	Trigger     string        `json:"trigger,omitempty"`
	// Of a repair: the nodes that may give leaves and no others (none: all), and leaves that do not count as equal
	// whatever the replica's own digests say of them.
	Only      []string      `json:"only,omitempty"`
	Bad       []digest.Leaf `json:"bad,omitempty"`
	StartedAt time.Time     `json:"started_at"`
}

// Config is what an Engine works with.
type Config struct {
	Node membership.NodeID
	// Replica is this node's replica of a group.
	Replica func(group uint32) (Replica, error)
	// StagingDir is the folder of a group's job. Nothing else lives there.
	StagingDir func(group uint32) string
	// Room is how many bytes may be written to the data disk before the reserve is touched. Nil: not known.
	Room func() (int64, error)
	// Limit is how many bytes a second all copies may bring into this node, 0: any number. Nil: any number.
	Limit func() int64
	// Share is the share of a core that all copies into this node get now, 1: all that they want. Nil: that.
	Share   func() float64
	Caller  Caller
	Fetcher Fetcher
	Jobs    Jobs
	Rates   *Meter
	Hooks   Hooks
	Logger  *slog.Logger
}

// Caller asks the leader of a group, as this node knows it now (this node may be it). leader is who was asked.
// Errors are worth another try: whoever leads then is asked.
type Caller interface {
	Call(ctx context.Context, group uint32, request []byte) (answer []byte, leader membership.NodeID, err error)
	// Elsewhere tells it that the node, which Call asked, answered that it does not lead.
	Elsewhere(group uint32, node membership.NodeID)
}

// Hooks are for tests.
type Hooks struct {
	// Step is called at each point of Stages. It may block, and it may end the process.
	Step func(job string, stage Stage, point string)
	// Change is called with each transition that a job takes.
	Change func(job string, t Transition)
	// Write may refuse to write the job's state.
	Write func(job string) error
	// Leaf may give back other bytes than a source sent, in a slice of its own.
	Leaf func(job, source string, leafBytes []byte) []byte
}

// Result is what a job has come to.
type Result struct {
	Status Status
	Row    Row
	Err    error // why it is not done
}

// Engine drives the jobs of this node's replicas: at most one a group, dry runs aside.
type Engine struct {
	config Config

	mu     sync.Mutex // guards cancel, groups
	cancel map[string]context.CancelCauseFunc
	groups map[uint32]string
}

// New makes an Engine.
func New(c Config) *Engine {
	if c.Rates == nil {
		c.Rates = &Meter{}
	}
	return &Engine{config: c, cancel: make(map[string]context.CancelCauseFunc), groups: make(map[uint32]string)}
}

// Run drives a job to its end, or until ctx does, which is the life of the process: Status is Interrupted then, the
// hold and the staging stay as they are, and Resume gives the request back after the restart. A request whose id is
// that of the staging goes on where it was; any other begins with none.
func (e *Engine) Run(ctx context.Context, r Request) Result {
	r = withDefaults(r)
	jobCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := e.enter(r, cancel); err != nil {
		return refused(r, err)
	}
	defer e.leave(r)
	j, err := e.begin(r)
	if err != nil {
		return refused(r, err)
	}
	return j.drive(ctx, jobCtx)
}

// Cancel ends a running job; Run returns when it has given back what it took. False: no such job runs.
func (e *Engine) Cancel(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	cancel := e.cancel[id]
	if cancel == nil {
		return false
	}
	cancel(ErrCancelled)
	return true
}

// Resume reads what a job left in a staging folder: its request, under its old id, to be given to Run. False: there
// was no job; whatever else lay there has been removed. So it is with an error that wraps ErrState; the leases of that
// job run out.
func (e *Engine) Resume(group uint32) (Request, bool, error) {
	dir := e.config.StagingDir(group)
	s, err := readState(dir)
	switch {
	case err == nil:
		return s.Request, true, nil
	case errors.Is(err, fs.ErrNotExist):
		return Request{}, false, sweep(dir)
	case errors.Is(err, ErrState):
		return Request{}, false, errors.Join(err, sweep(dir))
	}
	return Request{}, false, fmt.Errorf("resume the job of group %d: %w", group, err)
}

func withDefaults(r Request) Request {
	if r.MaxPause <= 0 {
		r.MaxPause = DefaultMaxPause
	}
	r.MaxPause = min(r.MaxPause, maxCutPause)
	if r.MaxAttempts <= 0 {
		r.MaxAttempts = DefaultMaxAttempts
	}
	if r.DryRun {
		r.MaxAttempts = 1
	}
	r.LeaderShare = min(max(r.LeaderShare, 0), 1)
	if r.StartedAt.IsZero() {
		r.StartedAt = time.Now()
	}
	return r
}

// refused is the result of a job that never began.
func refused(r Request, err error) Result {
	now := time.Now()
	return Result{Status: Failed, Err: err, Row: Row{ID: r.ID, Group: r.Group, Mode: r.Mode.String(), DryRun: r.DryRun, Stage: Plan,
		StartedAt: r.StartedAt, LastProgressAt: now, FinishedAt: now, Status: Failed, Attempt: 1, Error: err.Error()}}
}

func (e *Engine) enter(r Request, cancel context.CancelCauseFunc) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.ID == "" || len(r.ID) > maxText/2 {
		return fmt.Errorf("%w: job id %.64q", ErrRefused, r.ID)
	}
	if other := e.groups[r.Group]; other != "" && !r.DryRun || e.cancel[r.ID] != nil {
		return fmt.Errorf("group %d, job %s: %w", r.Group, other, ErrRunning)
	}
	e.cancel[r.ID] = cancel
	if !r.DryRun {
		e.groups[r.Group] = r.ID
	}
	return nil
}

func (e *Engine) leave(r Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.cancel, r.ID)
	if !r.DryRun {
		delete(e.groups, r.Group)
	}
}

// begin makes the job, of what an earlier process left of it.
func (e *Engine) begin(r Request) (*job, error) {
	replica, err := e.config.Replica(r.Group)
	if err != nil && !r.DryRun { // there is nothing to go on with; leases run out
		err = errors.Join(err, sweep(e.config.StagingDir(r.Group)))
	}
	if err != nil {
		return nil, err
	}
	j := &job{config: e.config, req: r, replica: replica, dir: e.config.StagingDir(r.Group),
		log:    e.config.Logger.With("group", r.Group, "job", r.ID),
		remote: &remote{caller: e.config.Caller, job: r.ID, group: r.Group}}
	if !r.DryRun {
		if s, err := readState(j.dir); err == nil && s.Request.ID == r.ID {
			j.state, j.req = s, s.Request
		} else if err := sweep(j.dir); err != nil {
			return nil, err
		}
	}
	if j.state == nil {
		j.state, j.unasked = &state{Version: stateVersion, Request: r, Attempt: 1, Asked: !r.DryRun}, true
		if err := j.note(); err != nil {
			return nil, errors.Join(err, sweep(j.dir))
		}
	}
	j.board = &board{jobs: e.config.Jobs, meter: e.config.Rates, limit: j.limit, share: j.config.Share, logger: j.log, row: j.firstRow(), progress: time.Now()}
	return j, nil
}

// firstRow shows what is known at the beginning.
func (j *job) firstRow() Row {
	s := j.state
	return Row{ID: j.req.ID, Group: j.req.Group, Target: j.config.Node.Name, Mode: j.req.Mode.String(), DryRun: j.req.DryRun,
		Verdict: s.Verdict, Reason: s.Reason, Stage: Plan, Sources: s.Sources, PlannedBytes: s.PlannedBytes, PlannedS: s.PlannedS,
		EntriesPlanned: s.PlannedN, Attempt: s.Attempt, Fence: s.Fence, StartedAt: j.req.StartedAt, LastProgressAt: time.Now(),
		Status: Running, Ending: s.Ending, Error: s.Error}
}
