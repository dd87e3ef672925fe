package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

const (
	// verdictPoll is the pause before a leader is asked again that could not judge.
	verdictPoll = time.Second
	// verdictPatience is how long a job waits for its first verdict.
	verdictPatience = 5 * time.Minute
	// cancelPoll is the pause before the engine is asked again to end a job that it
	// has only just begun.
	cancelPoll = 10 * time.Millisecond
)

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

// syncJob is one resync of this node. What has a name in JSON is kept for the
// next process.
type syncJob struct {
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

func (j *syncJob) mode() walgap.Mode {
	mode, _ := walgap.ParseMode(j.Options.Mode)
	return mode
}

// stopAsked reports whether somebody wants its end.
func (j *syncJob) stopAsked() bool {
	select {
	case <-j.stop:
		return true
	default:
		return false
	}
}

// shape makes the row of a start tell what was missed: where there is no gap any
// more when the leader is asked again, the log has closed it.
func (j *syncJob) shape(r *resync.Row) {
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

// drive takes a job to its end, or to that of the process.
func (m *resyncs) drive(ctx context.Context, j *syncJob) {
	status, why := m.copyPart(ctx, j)
	if status == "" { // the process ends
		return
	}
	if j.Kind == api.JobMove {
		status, why = m.endMove(ctx, j, status, why)
		if status == "" {
			return
		}
	}
	j.row.End(status, func(r *api.Job) {
		if why != "" && status != api.StatusDone && (r.Error == nil || j.Kind == api.JobMove) { // of a move it says more
			r.Error = &why
		}
	})
	m.ended(j, status, why)
}

// copyPart is carryOut, or what came of it in an earlier process, where a move's
// has ended: its leases have, too.
func (m *resyncs) copyPart(ctx context.Context, j *syncJob) (status, why string) {
	if j.Ended == nil {
		return m.carryOut(ctx, j)
	}
	if err := os.RemoveAll(m.stagingDir(j.Group)); err != nil {
		m.log.Warn("staging of a job that has ended is left", "group", j.Group, "err", err)
	}
	return j.Ended.Status, j.Ended.Why
}

// carryOut brings the replica to equality; "" when ctx has ended first.
func (m *resyncs) carryOut(ctx context.Context, j *syncJob) (status, why string) {
	defer j.giveSlot() // one that began as a replay may have taken one meanwhile
	var watcher sync.WaitGroup
	defer watcher.Wait()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	watcher.Go(func() {
		select {
		case <-j.stop:
			cancel()
		case <-waiting.Done():
		}
	})
	if !j.resumed {
		kind, status, why := m.await(waiting, j)
		switch {
		case ctx.Err() != nil:
			return "", ""
		case j.stopAsked():
			return api.StatusCancelled, "cancelled on request"
		case status != "":
			return status, why
		case !kind.Copies():
			return m.engage(ctx, j)
		}
	}
	err := m.takeSlot(waiting, j)
	switch {
	case ctx.Err() != nil:
		return "", ""
	case err != nil && !j.resumed:
		return api.StatusCancelled, "cancelled on request"
	}
	return m.engage(ctx, j) // one that was resumed gives back what it took, cancelled or not
}

// takeSlot waits until the job may copy, unless it may already.
func (m *resyncs) takeSlot(ctx context.Context, j *syncJob) error {
	j.slotMu.Lock()
	defer j.slotMu.Unlock()
	if j.slot != nil {
		return nil
	}
	by := m.slots.busy()
	j.row.Change(func(r *api.Job) {
		if r.Status = api.StatusQueued; by != "" {
			r.BlockedBy = &by
		}
	})
	slot, err := m.slots.acquire(ctx, urgency{j.resumed || j.again, j.spare, j.Group})
	if err == nil {
		j.slot, j.again = slot, true
		m.node.governor.Charge(jobCost)
		j.row.Progress(func(r *api.Job) { r.Status, r.BlockedBy = api.StatusRunning, nil })
	}
	return err
}

// giveSlot lets another group copy.
func (j *syncJob) giveSlot() {
	j.slotMu.Lock()
	defer j.slotMu.Unlock()
	if j.slot != nil {
		j.slot()
		j.slot = nil
	}
}

// await asks the leader until it has a verdict. A status ends the job.
func (m *resyncs) await(ctx context.Context, j *syncJob) (kind walgap.Kind, status, why string) {
	tick := time.NewTicker(verdictPoll)
	defer tick.Stop()
	began := time.Now()
	for {
		a, err := m.look(ctx, j.Group, j.mode(), j.Options.Rate)
		v := a.Verdict
		switch {
		case err != nil:
			why = err.Error()
		case v.Decided:
			j.spare = a.Spare
			verdict := v.Kind.String()
			j.row.Change(func(r *api.Job) {
				r.Verdict, r.Reason, r.BlockedBy = &verdict, &v.Reason, nil
				r.PlannedBytes, r.PlannedS = int64(v.Bytes), v.Seconds
			})
			return v.Kind, "", ""
		case !v.Wait:
			j.row.Change(func(r *api.Job) { r.Verdict, r.Reason = nil, &v.Reason })
			return 0, api.StatusFailed, v.Reason
		default:
			why = v.Reason
			if v.BlockedBy != "" {
				why = v.BlockedBy
			}
		}
		j.row.Change(func(r *api.Job) { r.BlockedBy = &why })
		if time.Since(began) > verdictPatience {
			return 0, api.StatusFailed, fmt.Sprintf("no verdict in %s: %s", verdictPatience, why)
		}
		select {
		case <-ctx.Done():
			return 0, "", ""
		case <-tick.C:
		}
	}
}

// look asks for the verdict on this node's replica as it stands, and what it
// costs at a rate.
func (m *resyncs) look(ctx context.Context, group uint32, mode walgap.Mode, rate int64) (verdictAnswer, error) {
	replica, err := m.replicaOf(group)
	if err != nil {
		return verdictAnswer{}, err
	}
	standing, err := replica.Report(ctx)
	if err != nil {
		return verdictAnswer{}, err
	}
	return m.verdictOn(ctx, standing, mode, rate)
}

// engage has the engine carry the job out.
func (m *resyncs) engage(ctx context.Context, j *syncJob) (status, why string) {
	var watcher sync.WaitGroup
	defer watcher.Wait()
	ended := make(chan struct{})
	defer close(ended)
	watcher.Go(func() {
		select {
		case <-j.stop:
		case <-ended:
			return
		}
		for !m.engine.Cancel(j.ID) {
			select {
			case <-ended:
				return
			case <-time.After(cancelPoll):
			}
		}
	})
	j.row.Change(func(r *api.Job) { r.Status, r.BlockedBy = api.StatusRunning, nil })
	result := m.engine.Run(ctx, m.request(j))
	j.shape(&result.Row)
	switch {
	case !result.Status.Final() && ctx.Err() != nil:
		return "", ""
	case !result.Status.Final():
		return api.StatusFailed, fmt.Sprintf("the procedure ended as %q: %v", result.Status, result.Err)
	case result.Err != nil:
		why = result.Err.Error()
	}
	j.row.Change(func(r *api.Job) {
		verdict, reason := r.Verdict, r.Reason
		if showRow(r, result.Row); r.Verdict == nil && r.Reason == nil { // it never began
			r.Verdict, r.Reason = verdict, reason
		}
	})
	if errors.Is(result.Err, resync.ErrCancelled) {
		why = "cancelled on request"
	}
	return string(result.Status), why
}

const (
	// syncSettles is the pause after a job that has done its work.
	syncSettles = 2 * time.Second
	// syncRetry is the pause after one that failed; it doubles, up to
	// maxSyncRetry, which is also what a cancelled one is left alone for.
	syncRetry    = 30 * time.Second
	maxSyncRetry = 10 * time.Minute
)

// ended forgets a job, and notes when the next may start by itself.
func (m *resyncs) ended(j *syncJob, status, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.jobs, j.Group)
	past := m.past[j.Group]
	pause := syncSettles
	switch status {
	case api.StatusDone:
		past.failed, past.log, past.why = 0, false, ""
	case api.StatusCancelled:
		pause, past.why = maxSyncRetry, "the last resync was cancelled"
	default:
		pause = min(maxSyncRetry, syncRetry<<min(past.failed, 10))
		past.failed++
		past.why = "the last resync failed: " + why
	}
	past.next = time.Now().Add(pause)
	m.past[j.Group] = past
	row := j.row.Job()
	m.tally.bytes += row.BytesDone
	switch status {
	case api.StatusDone:
		m.tally.done++
	case api.StatusCancelled:
		m.tally.cancelled++
	default:
		m.tally.failed++
		m.log.Warn("resync failed", "group", j.Group, "job", row.ID, "verdict", deref(row.Verdict), "why", why)
	}
	if len(m.jobs) == 0 {
		m.log.Info("resyncs have ended", "done", m.tally.done, "failed", m.tally.failed, "cancelled", m.tally.cancelled, "bytes", m.tally.bytes)
		m.tally = syncTally{}
	}
}

// stagingDir is where the job of a group keeps what it has fetched.
func (m *resyncs) stagingDir(group uint32) string {
	return filepath.Join(m.node.groupDir(group), "staging")
}

// staged reports whether a job has left anything there.
func (m *resyncs) staged(group uint32) bool {
	_, err := os.Stat(m.stagingDir(group))
	return err == nil
}
