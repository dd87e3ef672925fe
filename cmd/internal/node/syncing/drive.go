package syncing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

const (
	// verdictPoll is the pause before a leader is asked again that could not judge.
	verdictPoll = time.Second
	// verdictPatience is how long a job waits for its first verdict.
	verdictPatience = 5 * time.Minute
	// compareBound bounds the wait for a proof that a replica is equal which somebody asked to be made equal, and which lacked
	// nothing that had to be copied.
	compareBound = 5 * time.Second
	// cancelPoll is the pause before the engine is asked again to end a job that it
	// has only just begun.
	cancelPoll = 10 * time.Millisecond
)

// procedure carries a job out: resync.Engine.
type procedure interface {
	Run(ctx context.Context, r resync.Request) resync.Result
	Cancel(id string) bool
	Resume(group uint32) (resync.Request, bool, error)
}

// driver takes jobs to their ends: it takes up what earlier processes left, has
// leaders asked for a verdict, waits for slots, and lets the engine do the rest.
type driver struct {
	config *Config
	table  *table
	slots  *slots
	mover  *mover
	engine procedure
	// look is asker.look.
	look func(ctx context.Context, group uint32, mode walgap.Mode, rate int64) (verdictAnswer, error)
}

// run drives what is opened until ctx ends; jobs that have not ended by then are
// the next process's.
func (d *driver) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case j := <-d.table.queue:
			wg.Go(func() { d.drive(ctx, j) })
		case <-ctx.Done():
			d.table.stop()
			return
		}
	}
}

// drive takes a job to its end, or to that of the process.
func (d *driver) drive(ctx context.Context, j *job) {
	status, why := d.copyPart(ctx, j)
	if status == "" { // the process ends
		return
	}
	if j.Kind == api.JobMove {
		status, why = d.mover.end(ctx, j, status, why)
		if status == "" {
			return
		}
	}
	if j.Trigger == triggerAsked && status == api.StatusDone && !j.copied() {
		bounded, cancel := context.WithTimeout(ctx, compareBound)
		d.config.Proofs.Compare(bounded, j.Group)
		cancel()
	}
	j.row.End(status, func(r *api.Job) {
		if why != "" && status != api.StatusDone && (r.Error == nil || j.Kind == api.JobMove) { // of a move it says more
			r.Error = &why
		}
	})
	d.table.ended(j, status, why)
}

// copyPart is carryOut, or what came of it in an earlier process, where a move's
// has ended: its leases have, too.
func (d *driver) copyPart(ctx context.Context, j *job) (status, why string) {
	if j.Ended == nil {
		return d.carryOut(ctx, j)
	}
	if err := os.RemoveAll(d.config.stagingDir(j.Group)); err != nil {
		d.config.Logger.Warn("staging of a job that has ended is left", "group", j.Group, "err", err)
	}
	return j.Ended.Status, j.Ended.Why
}

// carryOut brings the replica to equality; "" when ctx has ended first.
func (d *driver) carryOut(ctx context.Context, j *job) (status, why string) {
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
		kind, status, why := d.await(waiting, j)
		switch {
		case ctx.Err() != nil:
			return "", ""
		case j.stopAsked():
			return api.StatusCancelled, "cancelled on request"
		case status != "":
			return status, why
		case !kind.Copies():
			return d.engage(ctx, j)
		}
	}
	err := j.takeSlot(waiting, d.config, d.slots)
	switch {
	case ctx.Err() != nil:
		return "", ""
	case err != nil && !j.resumed:
		return api.StatusCancelled, "cancelled on request"
	}
	return d.engage(ctx, j) // one that was resumed gives back what it took, cancelled or not
}

// await asks the leader until it has a verdict. A status ends the job.
func (d *driver) await(ctx context.Context, j *job) (kind walgap.Kind, status, why string) {
	tick := time.NewTicker(verdictPoll)
	defer tick.Stop()
	began := time.Now()
	for {
		a, err := d.look(ctx, j.Group, j.mode(), j.Options.Rate)
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

// engage has the engine carry the job out.
func (d *driver) engage(ctx context.Context, j *job) (status, why string) {
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
		for !d.engine.Cancel(j.ID) {
			select {
			case <-ended:
				return
			case <-time.After(cancelPoll):
			}
		}
	})
	j.row.Change(func(r *api.Job) { r.Status, r.BlockedBy = api.StatusRunning, nil })
	result := d.engine.Run(ctx, j.request(d.config.Settings()))
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
