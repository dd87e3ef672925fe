package syncing

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// jobCost is what a copy into this node costs its processor beside its bytes, about:
// opening files, entries of the log, calls. It cannot be cut into pieces, and is
// charged to those that follow.
const jobCost = 10 * time.Millisecond

// trigger is what made a job.
type trigger string

const (
	triggerStart  trigger = "start"  // the gap at the start of the node
	triggerBehind trigger = "behind" // the log of the leader does not reach the replica
	triggerNew    trigger = "new"    // a replica that was assigned, and holds nothing yet
	triggerAsked  trigger = "asked"
	triggerMove   trigger = "move"
)

// reason is what a row says until there is a verdict.
func (t trigger) reason() string {
	switch t {
	case triggerStart:
		return "the replica lacks what was written while its node was away"
	case triggerBehind:
		return "the leader's log does not reach the replica"
	case triggerNew:
		return "the replica is new here"
	case triggerRepair:
		return "a check found it wrong"
	case triggerMove:
		return "the replica takes another one's place"
	}
	return "asked for"
}

// job is one resync of this node. What has a name in JSON is kept for the
// next process.
type job struct {
	ID      string                `json:"id"` // uuid; the row's ends with it
	Group   uint32                `json:"group"`
	Kind    string                `json:"kind"` // api.JobResync or api.JobMove
	Trigger trigger               `json:"trigger"`
	Options gateway.ResyncOptions `json:"options"`
	From    string                `json:"from,omitempty"` // of a move: the node that gives its replica up
	// Repair is what a check found; nil: the job is no repair.
	Repair *repairOf `json:"repair,omitempty"`
	// Missed is what the replica lacked when its node started.
	Missed *walgap.Verdict `json:"missed,omitempty"`
	// Ended is what the copy of a move came to in an earlier process: what is left
	// is the old replica.
	Ended *moveEnd `json:"ended,omitempty"`

	row     *gateway.Row
	stop    chan struct{} // closed when somebody wants its end
	cancel  func()        // closes stop
	resumed bool          // an earlier process has begun to copy
	judged  atomic.Bool   // the verdict was written down
	spare   int           // of the last verdict
	after   atomic.Bool   // its copy is installed

	slotMu sync.Mutex // held while a slot is waited for
	slot   func()     // guarded by slotMu: gives the slot back; nil: it has none
	again  bool       // guarded by slotMu: it has had one
}

func (j *job) mode() walgap.Mode {
	mode, _ := walgap.ParseMode(j.Options.Mode)
	return mode
}

// copied reports whether it was a copy, which has its own proof.
func (j *job) copied() bool {
	v := j.row.Job().Verdict
	return v == nil || *v != walgap.None.String() && *v != walgap.Replay.String()
}

// stopAsked reports whether somebody wants its end.
func (j *job) stopAsked() bool {
	select {
	case <-j.stop:
		return true
	default:
		return false
	}
}

// shape makes the row of a start tell what was missed: where there is no gap any
// more when the leader is asked again, the log has closed it.
func (j *job) shape(r *resync.Row) {
	if j.Repair != nil && j.Repair.Why != "" {
		r.Reason = j.Repair.Why
	}
	if j.Missed == nil || r.Verdict != walgap.None.String() {
		return
	}
	r.Verdict, r.Reason = walgap.Replay.String(), j.Missed.Reason
	if j.Missed.Kind.Copies() { // a leader sends what it had read before its log was trimmed
		r.Reason = "closed by entries that were on their way; at the start: " + j.Missed.Reason
	}
	r.EntriesPlanned, r.PlannedS = int64(j.Missed.Entries), j.Missed.Seconds
	if r.Report != nil {
		report := *r.Report
		report.Verdict, report.EntriesPlan, report.PlannedS = r.Verdict, r.EntriesPlanned, r.PlannedS
		report.EntriesDone = max(report.EntriesDone, r.EntriesPlanned)
		r.Report = &report
	}
}

// request is what the engine is asked for.
func (j *job) request(s config.Sync) resync.Request {
	share := gateway.DefaultLeaderShare
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

// moveEnd is what the copy of a move came to.
type moveEnd struct {
	Status string `json:"status"`
	Why    string `json:"why,omitempty"`
}

// noteMove writes down, durably, what the copy of a move has come to: the next
// process does not copy again, but the job is not over.
func (j *job) noteMove(r resync.Row) error {
	note, err := json.Marshal(struct {
		*job
		Ended moveEnd `json:"ended"`
	}{j, moveEnd{string(r.Ending), r.Error}})
	if err != nil {
		return fmt.Errorf("note of job %s: %w", j.row.ID(), err)
	}
	return j.row.Note(note, func(row *api.Job) { showRow(row, r) })
}

// takeSlot waits until the job may copy, unless it may already.
func (j *job) takeSlot(ctx context.Context, c *Config, s *slots) error {
	j.slotMu.Lock()
	defer j.slotMu.Unlock()
	if j.slot != nil {
		return nil
	}
	by := s.busy()
	j.row.Change(func(r *api.Job) {
		if r.Status = api.StatusQueued; by != "" {
			r.BlockedBy = &by
		}
	})
	slot, err := s.acquire(ctx, urgency{j.resumed || j.again, j.spare, j.Group})
	if err == nil {
		j.slot, j.again = slot, true
		c.Governor.Charge(jobCost)
		j.row.Progress(func(r *api.Job) { r.Status, r.BlockedBy = api.StatusRunning, nil })
	}
	return err
}

// giveSlot lets another group copy.
func (j *job) giveSlot() {
	j.slotMu.Lock()
	defer j.slotMu.Unlock()
	if j.slot != nil {
		j.slot()
		j.slot = nil
	}
}
