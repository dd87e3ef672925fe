package gateway

import (
	"context"
	"slices"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// withReplicas adds to the plans of a target's node what it does not know of the
// groups: who leads, and how every replica stands. taker has no replica yet,
// giver gives its own up; "" for none.
func (g *Gateway) withReplicas(ctx context.Context, plans []api.GroupPlan, giver, taker string) []api.GroupPlan {
	var bare []uint32
	for _, p := range plans {
		if len(p.Replicas) == 0 {
			bare = append(bare, p.GroupID)
		}
	}
	if len(bare) == 0 {
		return plans
	}
	at := func(group uint32) *api.GroupPlan {
		i := slices.IndexFunc(plans, func(p api.GroupPlan) bool { return p.GroupID == group })
		return &plans[i]
	}
	known := g.planned(ctx, bare, func(p *api.GroupPlan, r *api.Replica, rp *api.ReplicaPlan) {
		*rp = partIn(at(p.GroupID), *rp, r.Node == giver)
	})
	for _, k := range known {
		p := at(k.GroupID)
		if p.Replicas = k.Replicas; p.Leader == nil {
			p.Leader = k.Leader
		}
		if taker != "" {
			p.Replicas = append(p.Replicas, partIn(p, api.ReplicaPlan{Node: taker}, false))
		}
	}
	return plans
}

// partIn is what a replica would do in the copy that a plan is about.
func partIn(p *api.GroupPlan, rp api.ReplicaPlan, goes bool) api.ReplicaPlan {
	verdict := ""
	if p.Resync != nil && p.Resync.Verdict != nil {
		verdict = *p.Resync.Verdict
	}
	copies := verdict == api.VerdictDelta || verdict == api.VerdictFull
	isTarget := p.Target != nil && *p.Target == rp.Node
	rp.Action = api.PlanNone
	switch {
	case goes:
		rp.Action = api.PlanGo
	case isTarget && verdict == "":
		rp.Action, rp.Why = api.PlanSkip, p.Why
		if p.Resync != nil && p.Resync.BlockedBy != nil && rp.Why == "" {
			rp.Why = *p.Resync.BlockedBy
		}
	case isTarget && verdict != api.VerdictNone:
		rp.Action, rp.Bytes = api.PlanCopy, &p.Resync.Bytes
	case copies && slices.Contains(p.Resync.Sources, rp.Node):
		rp.Action = api.PlanGive
	}
	return rp
}
