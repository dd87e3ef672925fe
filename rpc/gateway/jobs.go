package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// maxRunningJobs bounds the jobs of one node that run at once.
const maxRunningJobs = 256

// Jobs is the registry of the jobs that this node runs and ran.
type Jobs struct {
	node   string
	logger *slog.Logger
	wg     sync.WaitGroup

	// mu guards what follows; every job of running is in jobs, every one of
	// driven in running.
	mu      sync.Mutex
	jobs    map[string]*api.Job
	running map[string]context.CancelFunc
	driven  map[string]bool // those that have a Row
	notes   map[string]json.RawMessage
	queued  map[string]time.Time // since when those wait for their turn that do
	early   map[string]bool      // left jobs whose end was asked for before they were opened again
	file    *jobFile             // nil: memory only
	closed  bool
	moved   chan struct{} // closed when a job comes to another stage, or its end

	ended func(api.Job) // told of each end, under mu
}

// openJobs reads the jobs of earlier processes. One that was cut short by the
// end of its process has failed, unless it is of those that go on.
func openJobs(path, node string, logger *slog.Logger) (*Jobs, error) {
	js := &Jobs{node: node, logger: logger, jobs: map[string]*api.Job{}, running: map[string]context.CancelFunc{}, driven: map[string]bool{}, notes: map[string]json.RawMessage{}, early: map[string]bool{}, queued: map[string]time.Time{}, moved: make(chan struct{}), ended: func(api.Job) {}}
	if path == "" {
		return js, nil
	}
	file, lines, err := openJobFile(path)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	list := make([]api.Job, len(lines))
	for i, line := range lines {
		list[i] = line.Job
		if line.Note != nil {
			js.notes[line.ID] = line.Note
		}
	}
	for i := range list {
		switch j := &list[i]; {
		case j.Final():
		case outlives(j.Kind):
			by := "its node " + node + " has just started"
			j.Status, j.BlockedBy, j.Rate, j.EtaS = api.StatusQueued, &by, 0, nil
		default:
			text := "its node " + node + " ended before the job did"
			j.Status, j.Error, j.FinishedAt = api.StatusFailed, &text, api.At(now)
		}
	}
	list = retained(list, now)
	for i := range list {
		js.jobs[list[i].ID] = &list[i]
	}
	if err := file.rewrite(js.linesLocked()); err != nil {
		return nil, err
	}
	js.file = file
	return js, nil
}

// close cancels what runs and waits for it. Driven jobs stay open: the next
// process goes on with them.
func (js *Jobs) close() error {
	js.mu.Lock()
	js.closed = true
	js.movedLocked()
	for _, cancel := range js.running {
		cancel()
	}
	js.mu.Unlock()
	js.wg.Wait()
	js.mu.Lock()
	defer js.mu.Unlock()
	for id := range js.driven {
		js.keepLocked(js.jobs[id])
	}
	clear(js.driven)
	if js.file == nil {
		return nil
	}
	return js.file.close()
}

// work is what a job does. Its result becomes Job.Result. progress changes
// the job's row while it runs.
type work func(ctx context.Context, progress func(func(*api.Job))) (result any, err error)

// start begins a job and returns its row. The work runs until its end, its
// cancellation, or that of the node.
func (js *Jobs) start(kind string, group *uint32, target, mode *string, do work) (api.Job, error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if js.closed {
		return api.Job{}, api.E(api.NotReady, "use another node", "the node is shutting down")
	}
	if own := len(js.running) - len(js.driven); own >= maxRunningJobs {
		return api.Job{}, api.E(api.Busy, "wait for jobs to end; see `flotilla jobs list`", "%d jobs run on this node", own)
	}
	now := api.At(time.Now())
	stage := "running"
	j := &api.Job{ID: kind + "-" + js.node + "-" + uuid.NewString()[:13], Kind: kind, GroupID: group, Target: target, Mode: mode, Stage: &stage,
		Sources: []api.JobSource{}, Attempt: 1, StartedAt: now, LastProgressAt: now, Status: api.StatusRunning}
	ctx, cancel := context.WithCancel(context.Background()) // the job's life, not its request's
	js.jobs[j.ID], js.running[j.ID] = j, cancel
	js.keepLocked(j)
	js.wg.Go(func() {
		defer cancel()
		result, err := do(ctx, func(change func(*api.Job)) { js.progress(j.ID, change) })
		js.finish(ctx, j.ID, result, err)
	})
	return *j, nil
}

func (js *Jobs) progress(id string, change func(*api.Job)) {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.jobs[id]
	change(j)
	j.LastProgressAt = api.At(time.Now())
}

func (js *Jobs) finish(ctx context.Context, id string, result any, err error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.jobs[id]
	delete(js.running, id)
	now := api.At(time.Now())
	j.FinishedAt, j.LastProgressAt, j.Status, j.Stage = now, now, api.StatusDone, nil
	if result != nil {
		b, marshal := json.Marshal(result)
		err = errors.Join(err, marshal)
		j.Result = b
	}
	if err != nil {
		text := err.Error()
		j.Status, j.Error = api.StatusFailed, &text
		if e, ok := errors.AsType[*api.Error](err); ok {
			j.Code = &e.Code
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			text = "cancelled on request"
			if js.closed {
				text = "its node " + js.node + " was stopped"
			}
			j.Status, j.Code = api.StatusCancelled, nil
		}
	}
	js.keepLocked(j)
	js.movedLocked()
	js.ended(*j)
}

// keepLocked writes a job's state down. A disk that refuses it costs the
// record, not the job.
func (js *Jobs) keepLocked(j *api.Job) {
	if len(js.jobs) > maxJobs {
		js.forgetLocked()
	}
	if js.file == nil {
		return
	}
	full, err := js.file.append(js.lineLocked(j))
	if err == nil && full {
		js.forgetLocked()
		err = js.file.rewrite(js.linesLocked())
	}
	if err != nil {
		js.logger.Warn("a job could not be recorded", "job", j.ID, "error", err)
	}
}

// forgetLocked drops the jobs that need not be kept any longer.
func (js *Jobs) forgetLocked() {
	keep := map[string]bool{}
	for _, j := range retained(js.listLocked(), time.Now()) {
		keep[j.ID] = true
	}
	for id := range js.jobs {
		if !keep[id] {
			delete(js.jobs, id)
			delete(js.notes, id)
		}
	}
}

func (js *Jobs) listLocked() []api.Job {
	out := make([]api.Job, 0, len(js.jobs))
	for _, j := range js.jobs {
		out = append(out, js.shownLocked(j))
	}
	return out
}

func (js *Jobs) lineLocked(j *api.Job) jobLine { return jobLine{*j, js.notes[j.ID]} }

func (js *Jobs) linesLocked() []jobLine {
	out := make([]jobLine, 0, len(js.jobs))
	for _, j := range js.jobs {
		out = append(out, js.lineLocked(j))
	}
	slices.SortFunc(out, func(a, b jobLine) int { return a.StartedAt.Compare(b.StartedAt.Time) })
	return out
}

// await returns when a job is in another stage than seen, or has ended, or is not
// known, or ctx has ended.
func (js *Jobs) await(ctx context.Context, id, seen string) {
	for {
		js.mu.Lock()
		j := js.jobs[id]
		over := j == nil || j.Final() || js.closed || stageOf(j) != seen
		moved := js.moved
		js.mu.Unlock()
		if over {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// movedLocked wakes those who wait for a job's stage.
func (js *Jobs) movedLocked() {
	close(js.moved)
	js.moved = make(chan struct{})
}

// list gives the jobs of this node, or the one with that id.
func (js *Jobs) list(id string) []api.Job { return js.asked(id, JobFilter{}) }

// asked is list of those that a filter keeps.
func (js *Jobs) asked(id string, only JobFilter) (out []api.Job) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if id != "" {
		if j, ok := js.jobs[id]; ok && only.Keeps(j) {
			out = append(out, js.shownLocked(j))
		}
		return out
	}
	for _, j := range js.jobs {
		if only.Keeps(j) {
			out = append(out, js.shownLocked(j))
		}
	}
	return out
}

// byGroup gives the running job of each group that has one.
func (js *Jobs) byGroup() map[uint32]string {
	js.mu.Lock()
	defer js.mu.Unlock()
	out := map[uint32]string{}
	for id := range js.running {
		if j := js.jobs[id]; j.GroupID != nil && (out[*j.GroupID] == "" || js.driven[id]) {
			out[*j.GroupID] = id
		}
	}
	return out
}

// cancel asks a running job to end; false if this node does not know it.
func (js *Jobs) cancel(id string) bool {
	js.mu.Lock()
	defer js.mu.Unlock()
	j, known := js.jobs[id]
	if cancel, ok := js.running[id]; ok {
		cancel()
	} else if known && !j.Final() {
		js.early[id] = true
	}
	return known
}

// noJob is the error of a job that no node knows of those that answered.
func noJob(id string, silent []string) error {
	if len(silent) > 0 {
		return api.E(api.JobNotFound, "retry when it is back", "job %q is not known to any node that answers; %s did not answer", id, strings.Join(silent, " and "))
	}
	return api.E(api.JobNotFound, "see `flotilla jobs list`", "job %q is not known to any node", id)
}

// GetJob finds one job.
func (g *Gateway) GetJob(ctx context.Context, id string) (api.Job, error) {
	if id == "" { // which asks for all of them
		return api.Job{}, noJob(id, nil)
	}
	if jobs := g.jobs.list(id); len(jobs) > 0 {
		return jobs[0], nil
	}
	jobs, _, silent := g.askJobs(ctx, MethodJobs, jobRequest{ID: id})
	if len(jobs) == 0 {
		return api.Job{}, noJob(id, silent)
	}
	return jobs[0], nil
}

// CancelJob asks a job to end and gives its row; it ends soon after.
func (g *Gateway) CancelJob(ctx context.Context, id string) (api.Job, error) {
	if id == "" || !g.jobs.cancel(id) {
		if _, known, silent := g.askJobs(ctx, MethodCancelJob, jobRequest{ID: id}); !known {
			return api.Job{}, noJob(id, silent)
		}
	}
	return g.GetJob(ctx, id)
}
