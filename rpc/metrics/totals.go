package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// totals counts what jobs have done since the process began. Jobs are kept for
// a day after their end and listed while they run: each scrape adds what is new
// since the scrape before, and a job counts as ended once.
type totals struct {
	since time.Time

	ended    *prometheus.CounterVec   // by kind, status
	verdicts *prometheus.CounterVec   // by verdict, status
	received *prometheus.CounterVec   // by node
	leaves   *prometheus.CounterVec   // by state
	planned  prometheus.Counter       // bytes
	moved    prometheus.Counter       // bytes
	retried  prometheus.Counter       // attempts beyond the first
	took     *prometheus.HistogramVec // by verdict
	fences   prometheus.Histogram

	mu   sync.Mutex
	seen map[string]*counted // guarded by mu; of the jobs that are still listed
}

// counted is how much of a job is in the totals.
type counted struct {
	bytes map[string]int64 // by source
	ended bool
}

func newTotals(since time.Time) *totals {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	plain := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	t := &totals{since: since, seen: map[string]*counted{},
		ended:    counter("jobs_ended_total", "Jobs of this node that have ended, by kind and status.", "kind", "status"),
		verdicts: counter("resyncs_total", "Resyncs, repairs and moves to this node that have ended, by verdict and status.", "verdict", "status"),
		received: counter("resync_received_bytes_total", "Bytes that resyncs, repairs and moves brought to this node, by the node that gave them.", "node"),
		leaves:   counter("resync_leaves_total", "Leaves that ended resyncs, repairs and moves to this node found, by how they compared.", "result"),
		planned:  plain("resync_planned_bytes_total", "Bytes that ended resyncs, repairs and moves to this node were planned to bring."),
		moved:    plain("resync_moved_bytes_total", "Bytes that ended resyncs, repairs and moves brought to this node."),
		retried:  plain("resync_retries_total", "Attempts of ended resyncs, repairs and moves to this node beyond their first."),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "resync_duration_seconds",
			Help: "How long resyncs, repairs and moves to this node took that ended well, by verdict.", Buckets: prometheus.ExponentialBuckets(0.1, 4, 9)}, []string{"verdict"}),
		fences: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "resync_fence_seconds",
			Help: "Longest pause of writes of each ended resync, repair and move to this node that made one.", Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 10}}),
	}
	for _, kind := range jobKinds {
		for _, status := range []string{api.StatusDone, api.StatusFailed, api.StatusCancelled} {
			t.ended.WithLabelValues(kind, status)
		}
	}
	return t
}

func (t *totals) all() []prometheus.Collector {
	return []prometheus.Collector{t.ended, t.verdicts, t.received, t.leaves, t.planned, t.moved, t.retried, t.took, t.fences}
}

func (t *totals) describe(ch chan<- *prometheus.Desc) {
	for _, c := range t.all() {
		c.Describe(ch)
	}
}

func (t *totals) collect(ch chan<- prometheus.Metric, list []api.Job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	listed := make(map[string]bool, len(list))
	for i := range list {
		listed[list[i].ID] = true
		t.count(&list[i])
	}
	for id := range t.seen { // bounded by what the node keeps
		if !listed[id] {
			delete(t.seen, id)
		}
	}
	for _, c := range t.all() {
		c.Collect(ch)
	}
}

// count adds what is new of a job.
func (t *totals) count(j *api.Job) {
	c := t.seen[j.ID]
	if c == nil {
		c = &counted{bytes: map[string]int64{}}
		t.seen[j.ID] = c
		before := !j.FinishedAt.IsZero() && j.FinishedAt.Before(t.since)
		if c.ended = before; before || j.StartedAt.Before(t.since) { // an earlier process counted what it got
			for _, s := range j.Sources {
				c.bytes[s.Node] = s.Bytes
			}
		}
	}
	if copies(j.Kind) {
		for _, s := range j.Sources {
			if more := s.Bytes - c.bytes[s.Node]; more > 0 {
				t.received.WithLabelValues(s.Node).Add(float64(more))
				c.bytes[s.Node] = s.Bytes
			}
		}
	}
	if j.Final() && !c.ended {
		c.ended = true
		t.end(j)
	}
}

// copies reports whether jobs of a kind bring bytes to this node.
func copies(kind string) bool {
	return kind == api.JobResync || kind == api.JobMove || kind == api.JobRepair
}

// end counts a job that has ended.
func (t *totals) end(j *api.Job) {
	t.ended.WithLabelValues(j.Kind, j.Status).Inc()
	if !copies(j.Kind) {
		return
	}
	verdict := "undecided"
	if j.Verdict != nil {
		verdict = *j.Verdict
	}
	t.verdicts.WithLabelValues(verdict, j.Status).Inc()
	t.planned.Add(float64(max(j.PlannedBytes, 0)))
	t.moved.Add(float64(max(j.BytesDone, 0)))
	t.retried.Add(float64(max(j.Attempt-1, 0)))
	for result, n := range map[string]int64{"equal": j.LeavesEqual, "missing": j.LeavesMissing, "differing": j.LeavesDiffering, "orphan": j.LeavesOrphan} {
		t.leaves.WithLabelValues(result).Add(float64(max(n, 0)))
	}
	if j.Status == api.StatusDone {
		t.took.WithLabelValues(verdict).Observe(j.FinishedAt.Sub(j.StartedAt.Time).Seconds())
	}
	if j.FenceMs > 0 {
		t.fences.Observe(j.FenceMs / 1000)
	}
}
