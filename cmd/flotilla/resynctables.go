package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// isCopy reports whether a job of this kind brings a replica to equality.
func isCopy(kind string) bool {
	return kind == api.JobResync || kind == api.JobMove || kind == api.JobRepair
}

// printWhole prints one job, and behind it in tables what came of it.
func (s *session) printWhole(j *finishedJob) error {
	if err := s.printJob(j); err != nil {
		return err
	}
	if f := s.print.format; f != outputTable && f != outputWide {
		return nil
	}
	t, err := resultTable(&j.Job)
	if t == nil || err != nil {
		return err
	}
	if _, err := fmt.Fprintln(s.print.w); err != nil {
		return err
	}
	return s.print.table(t)
}

// copyReport is the part of a copy's result that the table shows beside its row.
type copyReport struct {
	Verdict         string  `json:"verdict"`
	PlannedEntries  uint64  `json:"planned_entries"`
	EntriesReplayed uint64  `json:"entries_replayed"`
	BytesKept       int64   `json:"bytes_kept"`
	BytesCopied     int64   `json:"bytes_copied"`
	Root            string  `json:"root"`
	CutIndex        uint64  `json:"cut_index"`
	ProofS          float64 `json:"proof_s"`
	CutsAborted     int     `json:"cuts_aborted"`
}

// copyTable is the plan of a resync or move against what it did.
func copyTable(j *api.Job) *table {
	t := &table{columns: []column{{heading: "WHAT"}, {heading: "PLANNED"}, {heading: "ACTUAL"}}}
	var r copyReport
	if len(j.Result) > 0 && json.Unmarshal(j.Result, &r) != nil {
		r = copyReport{} // of another version: the row tells the rest
	}
	took := absent
	if tookOf(j) > 0 {
		took = secondsCell(workedOf(j))
	}
	t.add("verdict", pointerCell(j.Verdict), textCell(r.Verdict))
	t.add("bytes", bytesCell(j.PlannedBytes), bytesCell(j.BytesDone))
	t.add("time", secondsCell(j.PlannedS), took)
	t.add("waited for its turn", absent, secondsCell(j.QueuedS))
	if r.PlannedEntries > 0 || r.EntriesReplayed > 0 {
		t.add("log entries", countCell(r.PlannedEntries), countCell(r.EntriesReplayed))
	}
	t.add("leaves", absent, leavesCell(j))
	if r.BytesKept > 0 || r.BytesCopied > 0 {
		t.add("not fetched", absent, fmt.Sprintf("%s kept, %s copied from the old file", bytesCell(r.BytesKept), bytesCell(r.BytesCopied)))
	}
	t.add("sources", absent, sourcesCell(j))
	pause := secondsCell(j.FenceMs / 1000)
	if r.CutsAborted > 0 {
		pause += fmt.Sprintf(" (%s given up)", counted(r.CutsAborted, "attempt"))
	}
	t.add("longest pause of writes", absent, pause)
	if r.Root != "" {
		t.add("proof", absent, fmt.Sprintf("root %s at %d, in %s", short(r.Root), r.CutIndex, secondsCell(r.ProofS)))
	}
	t.add("attempts", absent, countCell(j.Attempt))
	if why := whyOf(j); why != absent {
		t.verdict = why // its row has no room for all of it
	}
	return t
}

// leavesCell is how the leaves of a replica compared.
func leavesCell(j *api.Job) string {
	if j.LeavesTotal == 0 && j.LeavesOrphan == 0 {
		return absent
	}
	return fmt.Sprintf("%d: %d equal, %d missing, %d differing; %d orphan",
		j.LeavesTotal, j.LeavesEqual, j.LeavesMissing, j.LeavesDiffering, j.LeavesOrphan)
}

// resyncsTable is what came of the resyncs of several groups.
func resyncsTable(jobs []*finishedJob) *table {
	t := &table{columns: []column{
		{heading: "GROUP", right: true}, {heading: "TARGET"}, {heading: "STATUS", colours: stateColours}, {heading: "VERDICT"},
		{heading: "BYTES / PLANNED", right: true}, {heading: "TIME / PLANNED", right: true}, {heading: "PAUSE", right: true}, {heading: "SOURCES"}, {heading: "WHY"},
		{heading: "ATTEMPT", right: true, wide: true}, {heading: "LEAVES", wide: true}, {heading: "QUEUED", wide: true, right: true}, {heading: "JOB", wide: true},
	}}
	sum, planned, began, ended, pause := jobSum{jobs: len(jobs)}, int64(0), time.Time{}, time.Time{}, 0.0
	for _, j := range jobs {
		t.add(groupCell(&j.Job), pointerCell(j.Target), j.Status, pointerCell(j.Verdict), against(bytesCell(j.BytesDone), bytesCell(j.PlannedBytes)),
			against(secondsCell(workedOf(&j.Job)), secondsCell(j.PlannedS)), secondsCell(j.FenceMs/1000), sourcesCell(&j.Job), whyOf(&j.Job),
			countCell(j.Attempt), leavesCell(&j.Job), secondsCell(j.QueuedS), j.ID)
		switch {
		case j.Status == api.StatusDone:
			sum.done++
		case j.Final():
			sum.failed++
		}
		sum.bytes, planned, pause = sum.bytes+j.BytesDone, planned+j.PlannedBytes, max(pause, j.FenceMs)
		if !j.StartedAt.IsZero() && (began.IsZero() || j.StartedAt.Before(began)) {
			began = j.StartedAt.Time
		}
		if j.FinishedAt.After(ended) {
			ended = j.FinishedAt.Time
		}
	}
	t.verdict = fmt.Sprintf("%s: %d done, %d failed", counted(len(jobs), "resync"), sum.done, sum.failed)
	if open := len(jobs) - sum.done - sum.failed; open > 0 {
		t.verdict += fmt.Sprintf(", %d go on", open)
		return t
	}
	if len(jobs) > 0 {
		t.verdict += fmt.Sprintf("; %s moved (%s planned) in %s, longest pause of writes %s",
			bytesCell(sum.bytes), bytesCell(planned), secondsCell(ended.Sub(began).Seconds()), secondsCell(pause/1000))
	}
	return t
}

func groupCell(j *api.Job) string {
	if j.GroupID == nil {
		return "many"
	}
	return fmt.Sprint(*j.GroupID)
}

// copyPlanTable is the plan of resyncs or of a move.
func copyPlanTable(p api.Plan) *table {
	t := &table{columns: []column{
		{heading: "GROUP", right: true}, {heading: "TARGET"}, {heading: "VERDICT"}, {heading: "BYTES", right: true}, {heading: "ENTRIES", right: true},
		{heading: "LEAVES"}, {heading: "SOURCES"}, {heading: "ETA", right: true}, {heading: "REASON"}, {heading: "LEADER", wide: true}, {heading: "REPLICAS", wide: true},
	}}
	blocked, leaves, seconds, nothing := 0, int64(0), 0.0, 0
	for _, g := range p.Groups {
		r := api.ResyncPlan{}
		if g.Resync != nil {
			r = *g.Resync
		}
		reason, eta := textCell(r.Reason), absent
		if r.BlockedBy != nil && *r.BlockedBy != "" {
			reason = strings.TrimPrefix(reason+"; blocked by "+*r.BlockedBy, absent+"; ")
		}
		if g.Why != "" {
			blocked++
			reason = g.Why
		}
		if r.EtaS != nil {
			eta, seconds = secondsCell(*r.EtaS), seconds+*r.EtaS
		}
		moved := r.LeavesMissing + r.LeavesDiffering
		leaves += moved
		if r.Verdict != nil && *r.Verdict == api.VerdictNone {
			nothing++
		}
		t.add(countCell(g.GroupID), pointerCell(g.Target), pointerCell(r.Verdict), bytesCell(r.Bytes), countCell(r.Entries), planLeaves(&r),
			textCell(strings.Join(r.Sources, ", ")), eta, reason, pointerCell(g.Leader), planActions(g.Replicas))
	}
	t.verdict = fmt.Sprintf("plan of a %s: %s, %s to move, %d log entries to replay, %s to copy, ETA %s one after the other",
		p.Kind, counted(len(p.Groups), "group"), bytesCell(p.Bytes), p.LogEntries, leavesCount(leaves), secondsCell(seconds))
	if nothing > 0 {
		t.verdict += fmt.Sprintf("; %d in sync already", nothing)
	}
	if blocked > 0 {
		t.verdict += fmt.Sprintf("; %d would fail or wait as things stand", blocked)
	}
	t.verdict += "; nothing was done"
	return t
}

func leavesCount(n int64) string {
	if n == 1 {
		return "1 leaf"
	}
	return fmt.Sprintf("%d leaves", n)
}

// planLeaves is how many leaves would be copied, of all.
func planLeaves(r *api.ResyncPlan) string {
	if r.LeavesTotal == 0 {
		return absent
	}
	return fmt.Sprintf("%d of %d", r.LeavesMissing+r.LeavesDiffering, r.LeavesTotal)
}

// planActions is what each replica would do.
func planActions(replicas []api.ReplicaPlan) string {
	var parts []string
	for _, r := range replicas {
		if !slices.Contains([]string{"", api.PlanNone}, r.Action) {
			parts = append(parts, r.Node+" "+r.Action)
		}
	}
	return textCell(strings.Join(parts, ", "))
}
