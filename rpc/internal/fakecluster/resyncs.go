package fakecluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// Resyncs is a gateway.Resyncs whose jobs have ended when they begin. It copies
// nothing; it remembers what it was asked.
type Resyncs struct {
	Node string
	// End decides how the job of a group ends; nil: well.
	End func(group uint32, j *api.Job)

	mu    sync.Mutex
	asked []string // guarded by mu
}

// Asked lists what was asked, in order.
func (r *Resyncs) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.asked...)
}

func (r *Resyncs) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, fmt.Sprintf(format, args...))
}

func described(o gateway.ResyncOptions) string {
	return fmt.Sprintf("from=%s mode=%s pause=%s rate=%d share=%v", o.From, o.Mode, o.MaxPause, o.Rate, *o.LeaderShare)
}

func (r *Resyncs) job(kind string, group uint32, o gateway.ResyncOptions) api.Job {
	verdict, now := api.VerdictDelta, api.At(time.Unix(100, 0))
	j := api.Job{ID: fmt.Sprintf("%s-%s-%d", kind, r.Node, group), Kind: kind, GroupID: &group, Target: &r.Node, Mode: &o.Mode, Verdict: &verdict,
		Sources: []api.JobSource{{Node: "n1", Bytes: 600}, {Node: "n2", Bytes: 400}}, PlannedBytes: 1000, PlannedS: 2, BytesDone: 1000, BytesTotal: 1000,
		LeavesTotal: 10, LeavesEqual: 6, LeavesDiffering: 4, FenceMs: 3.5, Attempt: 1, StartedAt: now, LastProgressAt: now, FinishedAt: now, Status: api.StatusDone}
	if r.End != nil {
		r.End(group, &j)
	}
	return j
}

// Begin implements gateway.Resyncs.
func (r *Resyncs) Begin(_ context.Context, groups []uint32, o gateway.ResyncOptions) ([]api.Job, error) {
	r.note("begin %v %s", groups, described(o))
	var out []api.Job
	for _, group := range groups {
		out = append(out, r.job(api.JobResync, group, o))
	}
	return out, nil
}

// Move implements gateway.Resyncs.
func (r *Resyncs) Move(_ context.Context, group uint32, from string, o gateway.ResyncOptions) (api.Job, error) {
	r.note("move %d of %s %s", group, from, described(o))
	return r.job(api.JobMove, group, o), nil
}

// Plan implements gateway.Resyncs.
func (r *Resyncs) Plan(_ context.Context, groups []uint32, o gateway.ResyncOptions) []api.GroupPlan {
	r.note("plan %v %s", groups, described(o))
	var out []api.GroupPlan
	for _, group := range groups {
		verdict, eta, leader := api.VerdictDelta, 2.5, "n1"
		out = append(out, api.GroupPlan{GroupID: group, Leader: &leader, Target: &r.Node,
			Replicas: []api.ReplicaPlan{{Node: "n1", Action: api.PlanGive}, {Node: r.Node, Action: api.PlanCopy}},
			Resync: &api.ResyncPlan{Mode: o.Mode, Verdict: &verdict, Reason: "the log no longer reaches it", Bytes: 1000, LeavesTotal: 10, LeavesEqual: 6, LeavesDiffering: 4,
				Sources: []string{"n2", "n1"}, EtaS: &eta}})
	}
	return out
}
