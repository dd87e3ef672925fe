package syncing

import (
	"encoding/json"
	"os"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// leftJob is a job that an earlier process did not end.
type leftJob struct {
	job *job
	row api.Job
}

// leftJobs reads them; those that cannot be read have failed.
func (d *driver) leftJobs() (left []leftJob) {
	jobs := d.config.Rows()
	for _, l := range jobs.Left() {
		j := &job{}
		err := json.Unmarshal(l.Note, j)
		if err == nil && l.GroupID != nil && j.ID != "" {
			left = append(left, leftJob{j, l.Job})
			continue
		}
		d.config.Logger.Warn("a job of an earlier process cannot be read", "job", l.ID, "err", err)
		if row, err := jobs.Open(l.Job, nil, func() {}); err == nil {
			row.End(api.StatusFailed, func(r *api.Job) { text := "its node ended before the job did"; r.Error = &text })
		}
	}
	return left
}

// takeUp goes on with the jobs of earlier processes, before anything else may
// begin. What copied goes on where it was; what waited waits again. Staging that
// belongs to no job is removed.
func (d *driver) takeUp() {
	left := d.leftJobs()
	var first []leftJob
	for _, group := range d.config.Known() {
		if !d.staged(group) {
			continue
		}
		if d.toldEnd(group) {
			continue
		}
		r, found, err := d.engine.Resume(group)
		if err != nil {
			d.config.Logger.Warn("staging of a job cannot be read", "group", group, "err", err)
		}
		if !found {
			continue
		}
		l := leftJob{job: &job{ID: r.ID, Group: group, Kind: api.JobResync, Trigger: trigger(r.Trigger)}} // its row is lost
		if i := slices.IndexFunc(left, func(l leftJob) bool { return l.job.ID == r.ID }); i >= 0 {
			l = left[i]
			left = slices.Delete(left, i, i+1)
		}
		l.job.resumed = true
		first = append(first, l)
	}
	d.table.start(append(first, left...))
}

// toldEnd removes the staging of a job whose row is final: it was cut short when
// nothing else was left to do.
func (d *driver) toldEnd(group uint32) bool {
	id, err := resync.StagedJob(d.config.stagingDir(group))
	if err != nil || !slices.ContainsFunc(d.config.Rows().All(), func(j api.Job) bool { return j.Final() && strings.HasSuffix(j.ID, "-"+id) }) {
		return false
	}
	if err := os.RemoveAll(d.config.stagingDir(group)); err != nil {
		d.config.Logger.Warn("staging of a job that has ended is left", "group", group, "err", err)
	}
	return true
}

// staged reports whether a job has left anything there.
func (d *driver) staged(group uint32) bool {
	_, err := os.Stat(d.config.stagingDir(group))
	return err == nil
}
