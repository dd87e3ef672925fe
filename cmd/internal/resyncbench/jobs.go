package resyncbench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap"
)

// rows are the jobs of one scene.
type rows []api.Job

// jobs lists the jobs of the target that began at or after a moment, in these statuses, or in any.
func (r *rig) jobs(ctx context.Context, since time.Time, statuses ...string) (rows, error) {
	var query url.Values
	if len(statuses) > 0 {
		query = url.Values{"status": {strings.Join(statuses, ",")}}
	}
	body, err := r.admin.List(ctx, "/v1/admin/jobs", query)
	if err != nil {
		return nil, err
	}
	var l api.JobList
	if err := json.Unmarshal(body, &l); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(l.Jobs, func(j api.Job) bool {
		return j.Kind != api.JobResync || j.Target == nil || *j.Target != r.target().Name || j.StartedAt.Before(since)
	}), nil
}

// sayInterval is how often a wait says what it waits for.
const sayInterval = 5 * time.Second

// ended waits until the jobs that began since then are all final and every replica is well, and returns them. Each must
// have ended well.
func (r *rig) ended(ctx context.Context, since time.Time) (rows, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last rows
	for said := time.Now(); ; {
		all, err := r.jobs(ctx, since)
		if err == nil {
			last = all
		}
		if err == nil && all.open() == 0 {
			// What is not well yet may still get a job.
			if err := r.settled(ctx); err != nil {
				return nil, err
			}
			if again, err := r.jobs(ctx, since); err == nil && len(again) == len(all) {
				return all, all.done()
			}
		}
		if time.Since(said) > sayInterval {
			said = time.Now()
			r.say("%d jobs, %d of them not ended (%v)", len(last), last.open(), err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %d of %d jobs: %w", last.open(), len(last), ctx.Err())
		case <-time.After(slowPoll):
		}
	}
}

// copied waits until every group has been copied to the target since then; the first row that is seen is told to begun.
// Writes may go on: replicas are not waited for. It asks for the jobs that run, which are few: to describe all 256 costs a node
// 20 ms of its processor, and writes beside that would seem to wait for the copies.
func (r *rig) copied(ctx context.Context, since time.Time, begun func()) (rows, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last rows
	seen := false
	for said := time.Now(); ; {
		now, err := r.jobs(ctx, since, api.StatusRunning, api.StatusStalled)
		if err == nil && len(now) > 0 && !seen {
			seen = true
			begun()
		}
		if err == nil && len(now) == 0 && seen {
			if all, err := r.jobs(ctx, since); err == nil {
				last = all
			}
			if len(last) >= totalGroups && last.open() == 0 {
				return last.of(walgap.Full.String()), last.done()
			}
		}
		if time.Since(said) > sayInterval {
			said = time.Now()
			r.say("%d jobs run (%v)", len(now), err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the jobs of %d groups: %w", totalGroups, ctx.Err())
		case <-time.After(slowPoll):
		}
	}
}

func (all rows) open() (n int) {
	for i := range all {
		if !all[i].Final() {
			n++
		}
	}
	return n
}

func (all rows) done() error {
	for i := range all {
		if j := &all[i]; j.Status != api.StatusDone {
			why := "no error"
			if j.Error != nil {
				why = *j.Error
			}
			return fmt.Errorf("job %s of group %d is %s: %s", j.ID, value(j.GroupID), j.Status, why)
		}
	}
	return nil
}

// of keeps those of a verdict.
func (all rows) of(verdict string) rows {
	return slices.DeleteFunc(slices.Clone(all), func(j api.Job) bool { return value(j.Verdict) != verdict })
}

// span is the time from the beginning of the first to the end of the last.
func (all rows) span() time.Duration {
	var first, last time.Time
	for i := range all {
		if j := &all[i]; first.IsZero() || j.StartedAt.Time.Before(first) {
			first = j.StartedAt.Time
		}
		if j := &all[i]; j.FinishedAt.After(last) {
			last = j.FinishedAt.Time
		}
	}
	return last.Sub(first)
}

func (all rows) bytes() (sum int64) {
	for i := range all {
		sum += all[i].BytesDone
	}
	return sum
}

// verdicts counts them, for a message.
func (all rows) verdicts() map[string]int {
	by := map[string]int{}
	for i := range all {
		by[value(all[i].Verdict)]++
	}
	return by
}

// shares says what each source gave, as a share of all bytes.
func (all rows) shares() map[string]float64 {
	by, sum := map[string]float64{}, 0.0
	for i := range all {
		for _, s := range all[i].Sources {
			by[s.Node] += float64(s.Bytes)
			sum += float64(s.Bytes)
		}
	}
	for node := range by {
		by[node] /= sum
	}
	return by
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
