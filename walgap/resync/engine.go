package resync

import (
	"context"
	"log/slog"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/walgap"
)

// Request asks for a job.
type Request struct {
	ID          string        `json:"id"` // uuid; the log lease has it too
	Group       uint32        `json:"group"`
	Epoch       uint64        `json:"epoch"` // of the assignment; 0: the one that the leader knows
	Mode        walgap.Mode   `json:"mode"`
	DryRun      bool          `json:"dry_run,omitempty"`
	From        string        `json:"from,omitempty"` // node name: the only source, empty: all
	MaxPause    time.Duration `json:"max_pause"`      // 0: DefaultMaxPause
	LeaderShare float64       `json:"leader_share"`   // 0..1
	Rate        int64         `json:"rate,omitempty"` // bytes/s, 0: no limit of its own
	MaxAttempts int           `json:"max_attempts"`   // 0: DefaultMaxAttempts
	Trigger     string        `json:"trigger,omitempty"`
	StartedAt   time.Time     `json:"started_at"`
}

// Config is what an Engine works with.
type Config struct {
	Node membership.NodeID
	// Replica is this node's replica of a group.
	Replica func(group uint32) (Replica, error)
	// StagingDir is the folder of a group's job. Nothing else lives there.
	StagingDir func(group uint32) string
	// Room is how many bytes may be written to the data disk before the reserve is touched.
	Room    func() (int64, error)
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
}

// Hooks are for tests.
type Hooks struct {
	// Step is called at each point of Stages. It may block, and it may end the process.
	Step func(job string, stage Stage, point string)
}

// Result is what a job has come to.
type Result struct {
	Status Status
	Row    Row
	Err    error // why it is not done
}

// Engine drives the jobs of this node's replicas: at most one a group.
type Engine struct{ config Config }

// New makes an Engine.
func New(c Config) *Engine { return &Engine{config: c} }

// Run drives a job to its end, or until ctx does, which is the life of the process: Status is Interrupted then, the
// hold and the staging stay as they are, and Resume gives the request back after the restart.
func (e *Engine) Run(ctx context.Context, r Request) Result { return Result{} }

// Cancel ends a running job; Run returns when it has given back what it took. False: no such job runs.
func (e *Engine) Cancel(id string) bool { return false }

// Resume reads what a job left in a staging folder: its request, under its old id, to be given to Run. False: there
// was no job; whatever else lay there has been removed.
func (e *Engine) Resume(group uint32) (Request, bool, error) { return Request{}, false, nil }
