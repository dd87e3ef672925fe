package syncing

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// showRow puts what a resync says of itself into the row that everybody sees.
// Status is the caller's.
func showRow(j *api.Job, r resync.Row) {
	set := func(to **string, v string) {
		if *to = nil; v != "" {
			*to = &v
		}
	}
	set(&j.Verdict, r.Verdict)
	set(&j.Reason, r.Reason)
	set(&j.BlockedBy, r.BlockedBy)
	set(&j.Mode, cmp.Or(r.Mode, deref(j.Mode)))
	if r.Stage >= resync.Plan && r.Stage <= resync.Promote {
		set(&j.Stage, r.Stage.String())
	}
	j.Sources = make([]api.JobSource, len(r.Sources)) // a new one: rows are read without a lock
	for i, s := range r.Sources {
		j.Sources[i] = api.JobSource{Node: s.Node, Bytes: s.Bytes}
	}
	j.PlannedBytes, j.PlannedS, j.BytesDone, j.BytesTotal = r.PlannedBytes, r.PlannedS, r.BytesDone, r.BytesTotal
	j.LeavesTotal, j.LeavesEqual, j.LeavesMissing = r.LeavesTotal, r.LeavesEqual, r.LeavesMissing
	j.LeavesDiffering, j.LeavesOrphan = r.LeavesDiffering, r.LeavesOrphan
	j.Rate, j.EtaS, j.Attempt = r.Rate, r.EtaS, max(r.Attempt, 1)
	if r.Status.Final() {
		j.Rate, j.EtaS = 0, nil // of what is under way
	}
	j.FenceMs = float64(r.Fence.Microseconds()) / 1000
	if !r.LastProgressAt.IsZero() {
		j.LastProgressAt = api.At(r.LastProgressAt)
	}
	if r.Report != nil {
		if b, err := json.Marshal(r.Report); err == nil {
			j.Result = b
		}
	}
	if r.Error != "" {
		set(&j.Error, r.Error)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// planRow is what a dry run came to.
func planRow(r resync.Row) *api.ResyncPlan {
	p := &api.ResyncPlan{
		Mode: r.Mode, Reason: r.Reason, Entries: uint64(max(r.EntriesPlanned, 0)), Bytes: r.PlannedBytes,
		LeavesTotal: r.LeavesTotal, LeavesEqual: r.LeavesEqual, LeavesMissing: r.LeavesMissing,
		LeavesDiffering: r.LeavesDiffering, LeavesOrphan: r.LeavesOrphan, Sources: []string{},
	}
	if r.Verdict != "" {
		p.Verdict = &r.Verdict
	}
	if r.BlockedBy != "" {
		p.BlockedBy = &r.BlockedBy
	}
	for _, leads := range []bool{false, true} { // the leader last: it gives what is left
		for _, s := range r.Offered {
			if s.Leader == leads {
				p.Sources = append(p.Sources, s.Server.Name)
			}
		}
	}
	if r.Verdict != "" {
		eta := r.PlannedS
		p.EtaS = &eta
	}
	return p
}

// describe is a job in one line, for the replica's row.
func (j *job) describe() string {
	r := j.row.Job()
	line := "resync"
	if v := deref(r.Verdict); v != "" {
		line = v + " resync"
	}
	switch r.Status {
	case api.StatusQueued:
		line += " waits"
	default:
		line += " in stage " + deref(r.Stage)
		if r.Status == api.StatusStalled {
			line += ", stalled"
		}
		if deref(r.Stage) == resync.Fetch.String() && r.BytesTotal > 0 {
			line += ", " + percent(r.BytesDone, r.BytesTotal)
		}
	}
	if by := deref(r.BlockedBy); by != "" {
		line += ": " + by
	}
	return line + " (job " + r.ID + ")"
}

func percent(done, total int64) string {
	return fmt.Sprintf("%d%%", min(100, 100*done/max(total, 1)))
}
