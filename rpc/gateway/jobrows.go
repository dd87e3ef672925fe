package gateway

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// maxOpenRows bounds the jobs of one node that others drive: one a group.
const maxOpenRows = 8192

// Row is a job of this node that is driven from outside the gateway. Unlike
// the gateway's own jobs it outlives its process: what was open when the node
// stopped is in Jobs.Left of the next, under the same id.
//
// Changes are in memory, and in the lists of every node, at once. They are
// written down at the job's begin, at Keep, and at its end: progress costs the
// file nothing.
type Row struct {
	jobs *Jobs
	id   string
}

// Open puts a job on the list: queued, or as it is if its id is one of Left.
// The note is kept with it, for the next process. cancel is called, perhaps
// again and again, when somebody asks for its end; it must not block, nor use
// the list.
func (js *Jobs) Open(j api.Job, note json.RawMessage, cancel func()) (*Row, error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if js.closed {
		return nil, api.E(api.NotReady, "use another node", "the node is shutting down")
	}
	if len(js.driven) >= maxOpenRows {
		return nil, api.E(api.Busy, "wait for jobs to end; see `flotilla jobs list`", "%d jobs wait or run on this node", len(js.driven))
	}
	if j.ID == "" {
		j.ID = j.Kind + "-" + js.node + "-" + uuid.NewString()[:13]
	}
	if now := api.At(time.Now()); j.StartedAt.IsZero() {
		j.StartedAt, j.LastProgressAt = now, now
	}
	if j.Status == "" {
		j.Status = api.StatusQueued
	}
	j.Sources = append([]api.JobSource{}, j.Sources...)
	js.jobs[j.ID], js.running[j.ID], js.driven[j.ID], js.notes[j.ID] = &j, cancel, true, note
	js.waitsLocked(&j)
	js.keepLocked(&j)
	if js.early[j.ID] {
		delete(js.early, j.ID)
		cancel()
	}
	return &Row{js, j.ID}, nil
}

// LeftJob is a job that an earlier process did not end, with its note.
type LeftJob struct {
	api.Job
	Note json.RawMessage
}

// Left gives the driven jobs that an earlier process did not end, oldest first.
// Until they are opened again they are listed as queued.
func (js *Jobs) Left() []LeftJob {
	js.mu.Lock()
	defer js.mu.Unlock()
	var left []LeftJob
	for _, j := range js.jobs {
		if !j.Final() && js.running[j.ID] == nil {
			left = append(left, LeftJob{*j, js.notes[j.ID]})
		}
	}
	slices.SortFunc(left, func(a, b LeftJob) int { return a.StartedAt.Compare(b.StartedAt.Time) })
	return left
}

// ID is the job's id.
func (r *Row) ID() string { return r.id }

// Job gives the row as it is now.
func (r *Row) Job() api.Job {
	r.jobs.mu.Lock()
	defer r.jobs.mu.Unlock()
	if j := r.jobs.jobs[r.id]; j != nil {
		return r.jobs.shownLocked(j)
	}
	return api.Job{ID: r.id}
}

// Change changes the row; it is no sign of progress. Slices in it are replaced,
// never changed in place.
func (r *Row) Change(change func(*api.Job)) {
	r.jobs.mu.Lock()
	defer r.jobs.mu.Unlock()
	if j := r.jobs.jobs[r.id]; j != nil && !j.Final() {
		r.jobs.changeLocked(j, change)
	}
}

// changeLocked changes a row, and wakes those who wait for another stage.
func (js *Jobs) changeLocked(j *api.Job, change func(*api.Job)) {
	before := stageOf(j)
	if change(j); stageOf(j) != before {
		js.movedLocked()
	}
	js.waitsLocked(j)
}

// waitsLocked counts the time in which a job is queued.
func (js *Jobs) waitsLocked(j *api.Job) {
	since, waited := js.queued[j.ID]
	switch waits := j.Status == api.StatusQueued; {
	case waits && !waited:
		js.queued[j.ID] = time.Now()
	case !waits && waited:
		j.QueuedS += time.Since(since).Seconds()
		delete(js.queued, j.ID)
	}
}

// shownLocked is a job as it is now.
func (js *Jobs) shownLocked(j *api.Job) api.Job {
	shown := *j
	if since, waits := js.queued[j.ID]; waits {
		shown.QueuedS += time.Since(since).Seconds()
	}
	return shown
}

// Progress changes the row of a job that has come further: one that was
// stalled runs again.
func (r *Row) Progress(change func(*api.Job)) {
	r.Change(func(j *api.Job) {
		j.LastProgressAt = api.At(time.Now())
		if j.Status == api.StatusStalled {
			j.Status, j.BlockedBy = api.StatusRunning, nil
		}
		change(j)
	})
}

// Keep writes the row down as it is.
func (r *Row) Keep() {
	r.jobs.mu.Lock()
	defer r.jobs.mu.Unlock()
	if j := r.jobs.jobs[r.id]; j != nil && !r.jobs.closed {
		r.jobs.keepLocked(j)
	}
}

// Note changes the row and replaces its note, durably: the next process finds
// both as they are.
func (r *Row) Note(note json.RawMessage, change func(*api.Job)) error {
	r.jobs.mu.Lock()
	defer r.jobs.mu.Unlock()
	j := r.jobs.jobs[r.id]
	if j == nil || j.Final() || r.jobs.closed {
		return nil
	}
	r.jobs.changeLocked(j, change)
	r.jobs.notes[r.id] = note
	if r.jobs.file == nil {
		return nil
	}
	if _, err := r.jobs.file.append(r.jobs.lineLocked(j)); err != nil {
		return err
	}
	return r.jobs.file.sync()
}

// Ending writes down, durably, what End is about to make of the job: after a
// crash in between it has ended so.
func (r *Row) Ending(status string, change func(*api.Job)) error {
	r.jobs.mu.Lock()
	defer r.jobs.mu.Unlock()
	j := r.jobs.jobs[r.id]
	if j == nil || j.Final() || r.jobs.closed || r.jobs.file == nil {
		return nil
	}
	change(j)
	ended := *j
	ended.Status, ended.FinishedAt, ended.BlockedBy, ended.EtaS = status, api.At(time.Now()), nil, nil
	if _, err := r.jobs.file.append(jobLine{Job: ended}); err != nil {
		return err
	}
	return r.jobs.file.sync()
}

// End gives the job its final status, one that Job.Final knows, and writes it
// down. A later End is ignored.
func (r *Row) End(status string, change func(*api.Job)) {
	r.jobs.mu.Lock()
	defer r.jobs.mu.Unlock()
	j := r.jobs.jobs[r.id]
	if j == nil || j.Final() || r.jobs.closed {
		return
	}
	change(j)
	now := api.At(time.Now())
	j.Status, j.FinishedAt, j.LastProgressAt = status, now, now
	j.BlockedBy, j.EtaS = nil, nil
	r.jobs.waitsLocked(j)
	delete(r.jobs.running, r.id)
	delete(r.jobs.driven, r.id)
	delete(r.jobs.notes, r.id)
	r.jobs.keepLocked(j)
	r.jobs.movedLocked()
	r.jobs.ended(*j)
}

// outlives reports whether jobs of this kind go on in the next process.
func outlives(kind string) bool {
	return kind == api.JobResync || kind == api.JobMove || kind == api.JobRepair
}

// All gives the jobs of this node, in no order.
func (js *Jobs) All() []api.Job { return js.list("") }
