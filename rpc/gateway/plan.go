package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// Plans say what a trim, a check or a hand-over would do now. They ask, and
// change nothing.

// TrimPlan is what a trim would drop of one replica's log, if no other replica
// needed any of it, and how far that log reaches.
type TrimPlan struct {
	First   uint64 `json:"first"`   // of the log; LastIndex+1 while it is empty
	Through uint64 `json:"through"` // the last entry that would go; First-1: none
	Bytes   int64  `json:"bytes"`   // they take; negative: not known
	Why     string `json:"why"`     // what keeps entries that are applied

	LastIndex uint64 `json:"last_index"`
	LastTerm  uint64 `json:"last_term"` // of the entry at LastIndex
	Applied   uint64 `json:"applied"`
	Term      uint64 `json:"term"` // that the replica is in
}

type trimPlanRequest struct {
	Groups []uint32 `json:"groups"`
}

type trimPlanReply struct {
	Plans    map[uint32]TrimPlan `json:"plans"`
	Problems map[uint32]string   `json:"problems"` // why there is none
	Stopped  map[uint32]string   `json:"stopped"`  // why there is none, of replicas that stay stopped and wait for nothing
	offline  bool                // nobody was there to be asked
}

func (g *Gateway) serveTrimPlan(_ context.Context, m trimPlanRequest) ([]byte, error) {
	reply := trimPlanReply{Plans: map[uint32]TrimPlan{}, Problems: map[uint32]string{}, Stopped: map[uint32]string{}}
	for _, id := range m.Groups {
		group, err := g.held(id)
		if err != nil {
			reply.Problems[id] = err.Error()
			continue
		}
		plan, err := group.TrimPlan()
		switch {
		case err == nil:
			reply.Plans[id] = plan
		case group.Status().Replica.State == api.ReplicaQuarantined:
			reply.Stopped[id] = err.Error()
		default:
			reply.Problems[id] = err.Error()
		}
	}
	return json.Marshal(reply)
}

func (g *Gateway) serveStepDownTarget(ctx context.Context, m groupRequest) ([]byte, error) {
	group, err := g.held(m.Group)
	if err != nil {
		return answerOf("", &NotLeaderError{})
	}
	return answerOf(group.StepDownTarget(ctx, m.To))
}

// planned makes the rows of a plan, with every assigned replica as it stands;
// what a replica would do is what act says of those that answer.
func (g *Gateway) planned(ctx context.Context, groups []uint32, act func(*api.GroupPlan, *api.Replica, *api.ReplicaPlan)) []api.GroupPlan {
	t := g.cfg.Directory.Table()
	reports := g.reports(ctx, t)
	out := make([]api.GroupPlan, 0, len(groups))
	for _, id := range groups {
		a := t.Assignments[id]
		row := groupRow(a, reports)
		p := api.GroupPlan{GroupID: id, Leader: row.Leader, Replicas: []api.ReplicaPlan{}}
		for i := range row.Replicas {
			r := &row.Replicas[i]
			if !a.Holds(r.Node) {
				continue
			}
			rp := api.ReplicaPlan{Node: r.Node, Role: r.Role, State: r.State, Action: api.PlanSkip, Why: r.Why}
			if statusOf(reports[r.Node], id) != nil {
				rp.Why = ""
				act(&p, r, &rp)
			}
			p.Replicas = append(p.Replicas, rp)
		}
		out = append(out, p)
	}
	return out
}

// PlanVerify gives what Verify would compare.
func (g *Gateway) PlanVerify(ctx context.Context, r api.VerifyRequest) (api.Plan, error) {
	groups := r.Groups
	mode, err := verifyMode(r.Mode)
	if err != nil {
		return api.Plan{}, err
	}
	if groups, err = g.existing(ctx, groups); err != nil {
		return api.Plan{}, err
	}
	plan := api.Plan{Kind: api.JobVerify, DryRun: true, Mode: &mode}
	plan.Groups = g.planned(ctx, groups, func(_ *api.GroupPlan, r *api.Replica, rp *api.ReplicaPlan) {
		rp.Action, rp.Bytes = api.PlanCompare, &r.Bytes
		plan.Bytes += r.Bytes
	})
	for i := range plan.Groups {
		p := &plan.Groups[i]
		if j := slices.IndexFunc(p.Replicas, func(r api.ReplicaPlan) bool { return r.Action == api.PlanSkip }); j >= 0 {
			p.Why = "it would be unchecked: " + p.Replicas[j].Why
		}
		if p.Leader == nil && mode == api.ModeAdvancedVerify {
			p.Why = "it would be unchecked: no leader is known that could put the cut into the log"
		}
	}
	return plan, nil
}

// PlanTrim gives what Trim would drop of each replica's log.
func (g *Gateway) PlanTrim(ctx context.Context, groups []uint32) (api.Plan, error) {
	groups, err := g.existing(ctx, groups)
	if err != nil {
		return api.Plan{}, err
	}
	plan := api.Plan{Kind: api.JobTrim, DryRun: true}
	plan.Groups = g.planned(ctx, groups, func(_ *api.GroupPlan, _ *api.Replica, rp *api.ReplicaPlan) { rp.Action = api.PlanTrim })
	keeps, replies := g.logKeeps(ctx, groups)
	for i := range plan.Groups {
		p := &plan.Groups[i]
		for j := range p.Replicas {
			rp := &p.Replicas[j]
			if rp.Action != api.PlanTrim {
				if rp.State != api.ReplicaOffline { // one that is offline is no failure
					p.Why = fmt.Sprintf("it would fail on %s: %s", rp.Node, rp.Why)
				}
				continue
			}
			reply := replies[rp.Node]
			told, ok := reply.Plans[p.GroupID]
			if !ok {
				rp.Why = "it does not tell: " + reply.Problems[p.GroupID] + reply.Stopped[p.GroupID]
				continue
			}
			told = keeps[p.GroupID].limit(told)
			entries := told.entries()
			rp.LogEntries, rp.Why = &entries, told.Why
			plan.LogEntries += entries
			if told.Bytes >= 0 {
				rp.Bytes = &told.Bytes
				plan.Bytes += told.Bytes
			}
		}
	}
	return plan, nil
}

// trimPlans asks nodes about their replicas of some groups, all at once.
func (g *Gateway) trimPlans(ctx context.Context, ask map[string][]uint32) map[string]trimPlanReply {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	t := g.cfg.Directory.Table()
	out := make(map[string]trimPlanReply, len(ask))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range slices.Sorted(maps.Keys(ask)) {
		wg.Go(func() {
			var reply trimPlanReply
			if err := g.askJSON(ctx, t.Nodes[name].NodeID, MethodTrimPlan, trimPlanRequest{ask[name]}, &reply); err != nil {
				reply.Problems, reply.offline = map[uint32]string{}, errors.Is(err, ErrUnreachable)
				for _, id := range ask[name] {
					reply.Problems[id] = err.Error()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = reply
		})
	}
	wg.Wait()
	return out
}

// PlanStepDown gives who would take a group's leadership over.
func (g *Gateway) PlanStepDown(ctx context.Context, id uint32, to string) (api.Plan, error) {
	if err := g.checkStepDown(ctx, id, to); err != nil {
		return api.Plan{}, err
	}
	plan := api.Plan{Kind: api.JobStepDown, DryRun: true}
	plan.Groups = g.planned(ctx, []uint32{id}, func(_ *api.GroupPlan, _ *api.Replica, rp *api.ReplicaPlan) { rp.Action = api.PlanNone })
	p := &plan.Groups[0]
	if p.Leader == nil {
		p.Why = "no leader is known that could hand over"
		return plan, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	leader := g.cfg.Directory.Table().Nodes[*p.Leader].NodeID
	target, err := askReplica[string](ctx, g, leader, MethodStepDownTarget, groupRequest{id, to})
	if err != nil {
		p.Why = err.Error()
		return plan, nil
	}
	p.Target = &target
	if target == *p.Leader { // nothing would be done, and that is no failure
		for i := range p.Replicas {
			if p.Replicas[i].Node == target {
				p.Replicas[i].Why = "it leads already"
			}
		}
		return plan, nil
	}
	for i := range p.Replicas {
		switch r := &p.Replicas[i]; {
		case r.Node == target:
			r.Action = api.PlanLead
		case r.Node == *p.Leader:
			r.Action = api.PlanYield
		case r.Action == api.PlanNone:
			r.Action = api.PlanFollow
		}
	}
	return plan, nil
}
