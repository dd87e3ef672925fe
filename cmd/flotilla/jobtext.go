package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// How jobs read in lines and cells.

// stageOf is where a job is, and what holds it up.
func stageOf(j *api.Job) string {
	text := j.Status
	if j.Stage != nil && j.Status == api.StatusRunning {
		text = *j.Stage
	} else if j.Stage != nil && j.Status == api.StatusStalled {
		text = *j.Stage + ", stalled"
	}
	if j.Attempt > 1 && !j.Final() {
		text += fmt.Sprintf(", attempt %d", j.Attempt)
	}
	if j.BlockedBy != nil && *j.BlockedBy != "" {
		text += ", blocked by " + *j.BlockedBy
	}
	return text
}

// bytesOf is how much of a job is done: 12.0 MiB of 27.1 MiB (44%).
func bytesOf(j *api.Job) string {
	switch {
	case j.BytesTotal <= 0 && j.BytesDone <= 0:
		return ""
	case j.BytesTotal <= 0:
		return bytesCell(j.BytesDone)
	}
	return fmt.Sprintf("%s of %s (%d%%)", bytesCell(j.BytesDone), bytesCell(j.BytesTotal), percent(j.BytesDone, j.BytesTotal))
}

// percent never reaches 100 before all is done.
func percent(done, total int64) int64 {
	if total <= 0 {
		return 0
	}
	return min(int64(float64(done)/float64(total)*100), 100)
}

func byteRate(bytesPerS float64) string { return bytesCell(int64(bytesPerS)) + "/s" }

// secondsCell is a length of time with three digits at most.
func secondsCell(s float64) string {
	if s <= 0 || math.IsNaN(s) || math.IsInf(s, 0) || s > math.MaxInt64/1e9 {
		return "0s"
	}
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// speedOf is how fast a job is, and when it will end.
func speedOf(j *api.Job) string {
	var parts []string
	if j.Rate > 0 && !j.Final() {
		parts = append(parts, byteRate(j.Rate))
	}
	if j.EtaS != nil && !j.Final() && (j.BlockedBy == nil || *j.BlockedBy == "") { // who waits for others cannot tell
		parts = append(parts, "ETA "+secondsCell(*j.EtaS))
	}
	return strings.Join(parts, ", ")
}

// subjectOf is what a job is about: group 42 on n3.
func subjectOf(j *api.Job) string {
	text := j.Kind
	if j.GroupID != nil {
		text = fmt.Sprintf("group %d", *j.GroupID)
	}
	return text
}

// progressOf is a job under way in one line.
func progressOf(j *api.Job) string {
	parts := []string{stageOf(j)}
	for _, p := range []string{bytesOf(j), speedOf(j)} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return subjectOf(j) + ": " + strings.Join(parts, ", ")
}

// sourcesCell names who gave bytes, most first.
func sourcesCell(j *api.Job) string {
	list := slices.Clone(j.Sources)
	slices.SortStableFunc(list, func(a, b api.JobSource) int { return int(min(max(b.Bytes-a.Bytes, -1), 1)) })
	var parts []string
	for _, s := range list {
		parts = append(parts, s.Node+" "+bytesCell(s.Bytes))
	}
	return textCell(strings.Join(parts, ", "))
}

// tookOf is how long a job took, 0 while it runs.
func tookOf(j *api.Job) float64 {
	if j.FinishedAt.IsZero() || j.StartedAt.IsZero() {
		return 0
	}
	return j.FinishedAt.Sub(j.StartedAt.Time).Seconds()
}

// workedOf is tookOf without the wait for its turn: what a plan foresees.
func workedOf(j *api.Job) float64 { return max(tookOf(j)-j.QueuedS, 0) }

// against is an actual amount beside the planned one.
func against(actual, planned string) string { return actual + " / " + planned }

// whyOf is why a job is as it is.
func whyOf(j *api.Job) string {
	switch {
	case j.Error != nil && *j.Error != "":
		return *j.Error
	case j.BlockedBy != nil && *j.BlockedBy != "" && !j.Final():
		return "blocked by " + *j.BlockedBy
	}
	return pointerCell(j.Reason)
}
