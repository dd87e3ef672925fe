package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

const (
	// syncPoll is the pause between two looks at this node's replicas.
	syncPoll = time.Second
	// looksAtOnce bounds the leaders that are asked at the same time.
	looksAtOnce = 16
	// lookAgain is the pause before a replica that needs no job is looked at again.
	lookAgain = 5 * time.Second
	// stalledAfter is how long a job may show no progress before it counts as
	// stalled.
	stalledAfter = 30 * time.Second
)

// takeUp goes on with the jobs of earlier processes, before anything else may
// begin. What copied goes on where it was; what waited waits again. Staging that
// belongs to no job is removed.
func (m *resyncs) takeUp() {
	left := m.leftJobs()
	var first []leftSync
	for _, group := range m.node.hosts.host.Load().Known() {
		if !m.staged(group) {
			continue
		}
		if m.toldEnd(group) {
			continue
		}
		r, found, err := m.engine.Resume(group)
		if err != nil {
			m.log.Warn("staging of a job cannot be read", "group", group, "err", err)
		}
		if !found {
			continue
		}
		l := leftSync{job: &syncJob{ID: r.ID, Group: group, Kind: api.JobResync, Trigger: trigger(r.Trigger)}} // its row is lost
		if i := slices.IndexFunc(left, func(l leftSync) bool { return l.job.ID == r.ID }); i >= 0 {
			l = left[i]
			left = slices.Delete(left, i, i+1)
		}
		l.job.resumed = true
		first = append(first, l)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = true
	close(m.up)
	for _, l := range append(first, left...) {
		l.row.BlockedBy = nil
		if m.jobs[l.job.Group] != nil || l.row.Final() {
			continue
		}
		if _, err := m.openLocked(l.job, l.row); err != nil {
			m.log.Warn("a job of an earlier process cannot go on", "group", l.job.Group, "job", l.row.ID, "err", err)
		}
	}
}

// toldEnd removes the staging of a job whose row is final: it was cut short when
// nothing else was left to do.
func (m *resyncs) toldEnd(group uint32) bool {
	id, err := resync.StagedJob(m.stagingDir(group))
	if err != nil || !slices.ContainsFunc(m.node.gateway.Jobs().All(), func(j api.Job) bool { return j.Final() && strings.HasSuffix(j.ID, "-"+id) }) {
		return false
	}
	if err := os.RemoveAll(m.stagingDir(group)); err != nil {
		m.log.Warn("staging of a job that has ended is left", "group", group, "err", err)
	}
	return true
}

// setRate bounds what comes in and goes out from now on, that under way too.
func (m *resyncs) setRate(bytesPerS int64) {
	m.in.In.Set(float64(bytesPerS))
	m.out.Set(float64(bytesPerS))
}

// leftSync is a job that an earlier process did not end.
type leftSync struct {
	job *syncJob
	row api.Job
}

// leftJobs reads them; those that cannot be read have failed.
func (m *resyncs) leftJobs() (left []leftSync) {
	jobs := m.node.gateway.Jobs()
	for _, l := range jobs.Left() {
		j := &syncJob{}
		err := json.Unmarshal(l.Note, j)
		if err == nil && l.GroupID != nil && j.ID != "" {
			left = append(left, leftSync{j, l.Job})
			continue
		}
		m.log.Warn("a job of an earlier process cannot be read", "job", l.ID, "err", err)
		if row, err := jobs.Open(l.Job, nil, func() {}); err == nil {
			row.End(api.StatusFailed, func(r *api.Job) { text := "its node ended before the job did"; r.Error = &text })
		}
	}
	return left
}

// watch looks which replicas need a job, until ctx ends.
func (m *resyncs) watch(ctx context.Context) {
	starting := m.held()
	tick := time.NewTicker(syncPoll)
	defer tick.Stop()
	for {
		s := m.settings()
		m.setRate(s.Rate)
		m.slots.settle()
		m.markStalled()
		if !s.Enabled || !s.StartupSync {
			clear(starting)
		}
		m.lookAtAll(ctx, starting, s.Enabled)
		m.nudgePeers(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.nudges.wake:
		}
	}
}

// held is what the replicas of this node held when it opened them; those that
// held nothing were not there before.
func (m *resyncs) held() map[uint32]raftgroup.Report {
	held := make(map[uint32]raftgroup.Report)
	for _, g := range m.node.hosts.host.Load().Groups() {
		if r, ok := g.ReportAtOpen(); ok && (r.HasData || r.Last > 0 || r.Damage != "") {
			held[g.ID()] = r
		}
	}
	return held
}

// lookAtAll asks the leaders of all groups that may need a job.
func (m *resyncs) lookAtAll(ctx context.Context, starting map[uint32]raftgroup.Report, enabled bool) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, looksAtOnce)
	var mu sync.Mutex // guards settled
	var settled []uint32
	defer func() {
		wg.Wait()
		for _, group := range settled {
			delete(starting, group)
		}
	}()
	begin := func(look func()) bool {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		wg.Go(func() {
			defer func() { <-slots }()
			look()
		})
		return true
	}
	for group, report := range starting {
		if !begin(func() {
			if m.lookAtStart(ctx, group, report) {
				mu.Lock()
				settled = append(settled, group)
				mu.Unlock()
			}
		}) {
			return
		}
	}
	if !enabled {
		return
	}
	nudged := m.nudges.take()
	for _, a := range m.node.dir.Table().HeldBy(m.node.id.Name) {
		if _, waits := starting[a.Group]; waits || !m.mayStart(a.Group) {
			continue
		}
		why, needs := m.needsLook(a.Group)
		if nudged[a.Group] {
			why, needs = triggerBehind, true
		}
		if needs && !begin(func() { m.lookAt(ctx, a.Group, why) }) {
			return
		}
	}
}

// needsLook reports whether a replica cannot get on by itself: it is not in its
// group's configuration, or it was refused when it was opened.
func (m *resyncs) needsLook(group uint32) (trigger, bool) {
	g, err := m.groupOf(group)
	switch {
	case err != nil:
		return "", false
	case g.Running():
		return triggerNew, !g.Member()
	}
	return triggerBehind, g.Status().State == raftgroup.ReplicaQuarantined
}

// mayStart reports whether a job of the group may start by itself now.
func (m *resyncs) mayStart(group uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.jobs[group] == nil && !time.Now().Before(m.past[group].next)
}

// lookAt opens a job where leaves have to be copied. What the log can do, it
// does without one.
func (m *resyncs) lookAt(ctx context.Context, group uint32, why trigger) {
	a, err := m.look(ctx, group, walgap.Auto, 0)
	switch {
	case err != nil:
		m.pause(group, false, err.Error())
	case !a.Verdict.Decided:
		m.pause(group, false, a.Verdict.Reason)
	case a.Verdict.Kind.Copies():
		m.begin(&syncJob{Group: group, Kind: api.JobResync, Trigger: why})
	default:
		m.pause(group, true, "")
	}
}

// lookAtStart opens a job for what a replica lacked when its node started; done
// when there is a verdict.
func (m *resyncs) lookAtStart(ctx context.Context, group uint32, report raftgroup.Report) (done bool) {
	// What was moved away meanwhile is removed, not brought up to date.
	if m.jobOf(group) != nil || !m.node.dir.Table().Assignments[group].Holds(m.node.id.Name) {
		return true
	}
	s := standingOf(m.node.identity.get().ClusterID, report)
	q := verdictAsk{Server: s.Server, Target: s.Target, Rates: m.meter.Rates().Copying(m.settings().Rate), Mode: walgap.Auto}
	if g, err := m.groupOf(group); err == nil && !g.OpenedAt().IsZero() {
		q.Ago = time.Since(g.OpenedAt())
	}
	a, err := m.askVerdict(ctx, q)
	v := a.Verdict
	switch {
	case err != nil, !v.Decided && v.Wait:
		return false
	case !v.Decided:
		m.pause(group, false, v.Reason)
		return true
	case v.Kind == walgap.None, v.Kind == walgap.Replay && a.Election:
		return true
	}
	j := &syncJob{Group: group, Kind: api.JobResync, Trigger: triggerStart, Missed: &v}
	m.begin(j)
	return true
}

func (m *resyncs) begin(j *syncJob) {
	if _, err := m.open(j); err != nil {
		m.pause(j.Group, false, err.Error())
	}
}

// pause leaves a group alone for a while: the log does all, or why is what
// hinders a copy.
func (m *resyncs) pause(group uint32, log bool, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	past := m.past[group]
	past.next, past.log, past.why = time.Now().Add(lookAgain), log, why
	m.past[group] = past
}

// markStalled shows which of the running jobs get no further.
func (m *resyncs) markStalled() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		row := j.row.Job()
		if row.Status == api.StatusRunning && time.Since(row.LastProgressAt.Time) > stalledAfter {
			j.row.Change(func(r *api.Job) {
				if r.Status = api.StatusStalled; r.BlockedBy == nil {
					by := "no progress since " + row.LastProgressAt.UTC().Format(time.RFC3339)
					r.BlockedBy = &by
				}
			})
		}
	}
}

// why says what a replica of this node waits for, "" if for nothing that
// concerns a resync.
func (m *resyncs) why(group uint32, needs bool) string {
	if j := m.jobOf(group); j != nil {
		return j.describe()
	}
	if !needs {
		return ""
	}
	if !m.settings().Enabled {
		return "no resync starts by itself: storage.sync.enabled is false; `flotilla resync` brings it back"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	past, known := m.past[group]
	switch left := time.Until(past.next).Round(time.Second); {
	case !known || past.why == "":
		return ""
	case left > lookAgain:
		return past.why + "; tried again in " + left.String()
	}
	return past.why
}

// describe is a job in one line, for the replica's row.
func (j *syncJob) describe() string {
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
