package syncing

import (
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// past is what came of the last job of a group, or of the last look at one
// that has none.
type past struct {
	next   time.Time // nothing starts by itself before
	failed int       // in a row
	log    bool      // the last verdict was that the log brings it up to date
	why    string    // "": all is well
}

// tally counts what has ended since there was nothing to do: one line tells
// of it, not one a group.
type tally struct {
	done, failed, cancelled int
	bytes                   int64
}

const (
	// syncSettles is the pause after a job that has done its work.
	syncSettles = 2 * time.Second
	// syncRetry is the pause after one that failed; it doubles, up to
	// maxSyncRetry, which is also what a cancelled one is left alone for.
	syncRetry    = 30 * time.Second
	maxSyncRetry = 10 * time.Minute
	// lookAgain is the pause before a replica that needs no job is looked at again.
	lookAgain = 5 * time.Second
	// stalledAfter is how long a job may show no progress before it counts as
	// stalled.
	stalledAfter = 30 * time.Second
)

// ended forgets a job, and notes when the next may start by itself.
func (t *table) ended(j *job, status, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.jobs, j.Group)
	past := t.past[j.Group]
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
	t.past[j.Group] = past
	row := j.row.Job()
	t.tally.bytes += row.BytesDone
	switch status {
	case api.StatusDone:
		t.tally.done++
	case api.StatusCancelled:
		t.tally.cancelled++
	default:
		t.tally.failed++
		t.config.Logger.Warn("resync failed", "group", j.Group, "job", row.ID, "verdict", deref(row.Verdict), "why", why)
	}
	if len(t.jobs) == 0 {
		t.config.Logger.Info("resyncs have ended", "done", t.tally.done, "failed", t.tally.failed, "cancelled", t.tally.cancelled, "bytes", t.tally.bytes)
		t.tally = tally{}
	}
}

// mayStart reports whether a job of the group may start by itself now.
func (t *table) mayStart(group uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.jobs[group] == nil && !time.Now().Before(t.past[group].next)
}

// pause leaves a group alone for a while: the log does all, or why is what
// hinders a copy.
func (t *table) pause(group uint32, log bool, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	past := t.past[group]
	past.next, past.log, past.why = time.Now().Add(lookAgain), log, why
	t.past[group] = past
}

// markStalled shows which of the running jobs get no further.
func (t *table) markStalled() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, j := range t.jobs {
		row := j.row.Job()
		if row.Status == api.StatusRunning && time.Since(row.LastProgressAt.Time) > stalledAfter {
			j.row.Change(func(r *api.Job) {
				if r.Status = api.StatusStalled; r.BlockedBy == nil {
					by := "no progress since " + row.LastProgressAt.UTC().Format(time.RFC3339)
					r.BlockedBy = &by
				}
			})
		}
	}
}

// why says what a replica of this node waits for, "" if for nothing that
// concerns a resync.
func (t *table) why(group uint32, needs bool) string {
	if j := t.of(group); j != nil {
		return j.describe()
	}
	if !needs {
		return ""
	}
	if !t.config.Settings().Enabled {
		return "no resync starts by itself: storage.sync.enabled is false; `flotilla resync` brings it back"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	past, known := t.past[group]
	switch left := time.Until(past.next).Round(time.Second); {
	case !known || past.why == "":
		return ""
	case left > lookAgain:
		return past.why + "; tried again in " + left.String()
	}
	return past.why
}

// willCopy reports whether a replica that may not start yet is going to copy when
// it may.
func (t *table) willCopy(group uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	past := t.past[group]
	return past.failed == 0 && !past.log
}
