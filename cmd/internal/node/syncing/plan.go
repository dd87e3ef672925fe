package syncing

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

const (
	// planLimit bounds what a dry run spends on one group: comparing leaves is what
	// takes time.
	planLimit = 7 * time.Second
	// plansLimit bounds all of them together: whoever asks waits for less than 10 s.
	plansLimit = 8 * time.Second
)

// planner says what resyncs of this node's replicas would do.
type planner struct {
	config *Config
	table  *table
	asker  *asker
	engine procedure
}

// plan plans that of each group.
func (p *planner) plan(ctx context.Context, groups []uint32, o gateway.ResyncOptions) []api.GroupPlan {
	ctx, cancel := context.WithTimeout(ctx, plansLimit)
	defer cancel()
	plans := make([]api.GroupPlan, len(groups))
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, looksAtOnce)
	target := p.config.Self.Name
	for i, group := range groups {
		plans[i] = api.GroupPlan{GroupID: group, Target: &target, Replicas: []api.ReplicaPlan{}}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			limited, cancel := context.WithTimeout(ctx, planLimit)
			defer cancel()
			plans[i].Resync, plans[i].Why = p.one(limited, group, o)
		})
	}
	return plans
}

func (p *planner) one(ctx context.Context, group uint32, o gateway.ResyncOptions) (plan *api.ResyncPlan, why string) {
	if j := p.table.of(group); j != nil {
		by := fmt.Sprintf("job %s of this group, which a resync would be", j.row.ID())
		return &api.ResyncPlan{Mode: j.mode().String(), BlockedBy: &by, Sources: []string{}}, ""
	}
	if _, err := p.config.Group(group); err != nil {
		return p.ofNew(ctx, group, o)
	}
	j := &job{ID: uuid.NewString(), Group: group, Options: o}
	r := j.request(p.config.Settings())
	r.DryRun, r.MaxAttempts, r.StartedAt = true, 1, time.Now()
	result := p.engine.Run(ctx, r)
	plan = planRow(result.Row)
	if plan.Mode == "" {
		plan.Mode = j.mode().String()
	}
	if result.Err != nil {
		why = strings.TrimPrefix(result.Err.Error(), resync.Plan.String()+": "+resync.ErrRefused.Error()+": ")
	}
	if ctx.Err() != nil { // that it took too long is no news
		why = cmp.Or(deref(plan.BlockedBy), fmt.Sprintf("not found out in %s: ask for fewer groups at once", plansLimit))
	}
	return plan, why
}

// ofNew is the plan of a replica that this node does not run yet: of nothing, or
// of the file of an adopted clone.
func (p *planner) ofNew(ctx context.Context, group uint32, o gateway.ResyncOptions) (*api.ResyncPlan, string) {
	mode, _ := walgap.ParseMode(o.Mode)
	cluster := p.config.ClusterID()
	standing := resync.Standing{Server: p.config.Self.Server(0), Target: walgap.Target{Cluster: cluster, Group: group, Readable: true}}
	switch stored, ok, err := p.config.Stored(group); {
	case err != nil:
		return nil, err.Error()
	case ok:
		standing = standingOf(cluster, stored)
	}
	a, err := p.asker.verdictOn(ctx, standing, mode, o.Rate)
	if err != nil {
		return nil, err.Error()
	}
	plan := &api.ResyncPlan{Mode: mode.String(), Reason: a.Verdict.Reason, Sources: a.Sources}
	if plan.Sources == nil {
		plan.Sources = []string{}
	}
	if a.Verdict.BlockedBy != "" {
		plan.BlockedBy = &a.Verdict.BlockedBy
	}
	if a.Verdict.Decided {
		verdict := a.Verdict.Kind.String()
		plan.Verdict, plan.EtaS = &verdict, &a.Verdict.Seconds
		plan.Entries, plan.Bytes = a.Verdict.Entries, int64(a.Verdict.Bytes)
	}
	return plan, ""
}
