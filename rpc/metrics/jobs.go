package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// openStatuses are those of a job that has not ended.
var openStatuses = []string{api.StatusQueued, api.StatusRunning, api.StatusStalled}

// jobKinds are shown with 0 too.
var jobKinds = []string{api.JobResync, api.JobMove, api.JobVerify, api.JobTrim, api.JobStepDown, api.JobRepair, api.JobDrill}

var (
	jobCount    = describe("jobs", "Jobs of this node that have not ended, by kind and status.", "kind", "status")
	jobProgress = describe("job_progress_ratio", "Done part of an open job's bytes, 0 to 1; absent while they are not known.", "kind", "group")
	jobDone     = describe("job_done_bytes", "Bytes that an open job has moved.", "kind", "group")
	jobTotal    = describe("job_expected_bytes", "Bytes that an open job has to move.", "kind", "group")
	jobRate     = describe("job_rate_bytes_per_second", "Bytes a second that an open job moves.", "kind", "group")
	jobEta      = describe("job_remaining_seconds", "Seconds that an open job will still take; absent while they are not known.", "kind", "group")
	jobAttempt  = describe("job_attempt", "Attempt that an open job is in.", "kind", "group")
	jobStalled  = describe("job_stalled", "Whether an open job makes no progress.", "kind", "group")
	jobProgAt   = describe("job_last_progress_timestamp_seconds", "When an open job last made progress, since 1970.", "kind", "group")
	jobFence    = describe("job_fence_seconds", "Longest pause of writes that an open job has caused.", "kind", "group")
)

// ofGroup names an open job: a group has one of a kind on a node, and a job of
// several groups is of "all".
type ofGroup struct{ kind, group string }

func ofJob(j *api.Job) ofGroup {
	if j.GroupID == nil {
		return ofGroup{j.Kind, "all"}
	}
	return ofGroup{j.Kind, strconv.FormatUint(uint64(*j.GroupID), 10)}
}

func jobs(ch chan<- prometheus.Metric, list []api.Job) {
	counts := map[[2]string]int{}
	for _, kind := range jobKinds {
		for _, status := range openStatuses {
			counts[[2]string{kind, status}] = 0
		}
	}
	newest := map[ofGroup]*api.Job{}
	for i := range list {
		j := &list[i]
		if j.Final() {
			continue
		}
		counts[[2]string{j.Kind, j.Status}]++
		if before := newest[ofJob(j)]; before == nil || before.StartedAt.Before(j.StartedAt.Time) {
			newest[ofJob(j)] = j
		}
	}
	for at, n := range counts {
		gauge(ch, jobCount, n, at[0], at[1])
	}
	for of, j := range newest {
		openJob(ch, j, of.kind, of.group)
	}
}

func openJob(ch chan<- prometheus.Metric, j *api.Job, labels ...string) {
	gauge(ch, jobDone, j.BytesDone, labels...)
	gauge(ch, jobTotal, j.BytesTotal, labels...)
	gauge(ch, jobRate, j.Rate, labels...)
	gauge(ch, jobAttempt, j.Attempt, labels...)
	gauge(ch, jobStalled, truth(j.Status == api.StatusStalled), labels...)
	gauge(ch, jobFence, j.FenceMs/1000, labels...)
	if j.BytesTotal > 0 {
		gauge(ch, jobProgress, min(1, float64(j.BytesDone)/float64(j.BytesTotal)), labels...)
	}
	if j.EtaS != nil {
		gauge(ch, jobEta, *j.EtaS, labels...)
	}
	if !j.LastProgressAt.IsZero() {
		gauge(ch, jobProgAt, seconds(j.LastProgressAt), labels...)
	}
}
