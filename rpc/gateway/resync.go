package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// ResyncRequest asks for the resync of one node's replicas.
type ResyncRequest struct {
	Groups []uint32 `json:"groups"` // none: every group that the target holds or should hold
	Target string   `json:"target"` // name of the node whose replicas are brought to equality
	ResyncOptions
}

// ResyncOptions are the choices of whoever asks for a resync or a move.
type ResyncOptions struct {
	From        string        `json:"from"`         // copy from this node only; "": from every replica that can
	Mode        string        `json:"mode"`         // auto (""), full-sync, partial-sync
	MaxPause    time.Duration `json:"max_pause"`    // of the group's writes at the cut; 0: DefaultMaxPause
	Rate        int64         `json:"rate"`         // bytes/s of each job; 0: storage.sync.rate alone bounds it
	LeaderShare *float64      `json:"leader_share"` // 0..1 of the bytes that the leader may give; nil: DefaultLeaderShare
}

// MoveRequest asks for one replica of a group to go from a node to another.
type MoveRequest struct {
	Group uint32 `json:"group"`
	A     string `json:"a"` // name of the node that gives its replica up
	B     string `json:"b"` // name of the node that takes it
	ResyncOptions
}

// Defaults and bounds of ResyncOptions.
const (
	DefaultMaxPause    = 100 * time.Millisecond
	MaxMaxPause        = 10 * time.Second
	DefaultLeaderShare = 0.5
	// MinRate is what a copy that is slower than it would be taken for a silent one by (snapshot/transfer has the same).
	MinRate = 256 << 10
)

// beginTimeout bounds the forwarding of a request to its target's node, which
// answers once the jobs are on its list.
const beginTimeout = 10 * time.Second

// Resyncs runs the resyncs whose target is this node: the node that lacks the
// data drives its job. Begin starts the job of each group, or finds the one
// that it has already, and answers in the order of the groups. Move changes the
// assignment first. Plan changes nothing; what hinders it is in the plans.
type Resyncs interface {
	Begin(ctx context.Context, groups []uint32, o ResyncOptions) ([]api.Job, error)
	Move(ctx context.Context, group uint32, from string, o ResyncOptions) (api.Job, error)
	Plan(ctx context.Context, groups []uint32, o ResyncOptions) []api.GroupPlan
}

// Resync starts a job for each group of the request, on the node of the target.
func (g *Gateway) Resync(ctx context.Context, r ResyncRequest) ([]api.Job, error) {
	r, target, err := g.checkResync(ctx, r)
	if err != nil {
		return nil, err
	}
	reply, err := g.askTarget(ctx, target, resyncCall{Resync: &r})
	return reply.Jobs, err
}

// PlanResync says what Resync would do now.
func (g *Gateway) PlanResync(ctx context.Context, r ResyncRequest) (api.Plan, error) {
	r, target, err := g.checkResync(ctx, r)
	if err != nil {
		return api.Plan{}, err
	}
	reply, err := g.askTarget(ctx, target, resyncCall{Resync: &r, Plan: true})
	reply.Groups = g.withReplicas(ctx, reply.Groups, "", "")
	return planOf(api.JobResync, r.ResyncOptions, reply), err
}

// Move starts the job that gives a replica's place to another node: the new
// one is copied, proven and gets its vote before the old one goes.
func (g *Gateway) Move(ctx context.Context, r MoveRequest) (api.Job, error) {
	r, target, err := g.checkMove(ctx, r)
	if err != nil {
		return api.Job{}, err
	}
	reply, err := g.askTarget(ctx, target, resyncCall{Move: &r})
	if err != nil || len(reply.Jobs) == 0 {
		return api.Job{}, err
	}
	return reply.Jobs[0], nil
}

// PlanMove says what Move would do now.
func (g *Gateway) PlanMove(ctx context.Context, r MoveRequest) (api.Plan, error) {
	r, target, err := g.checkMove(ctx, r)
	if err != nil {
		return api.Plan{}, err
	}
	reply, err := g.askTarget(ctx, target, resyncCall{Move: &r, Plan: true})
	reply.Groups = g.withReplicas(ctx, reply.Groups, r.A, r.B)
	plan := planOf(api.JobMove, r.ResyncOptions, reply)
	for i := range plan.Groups {
		for j := range plan.Groups[i].Replicas {
			if rp := &plan.Groups[i].Replicas[j]; rp.Node == r.A {
				rp.Action = api.PlanGo
			}
		}
	}
	return plan, err
}

func planOf(kind string, o ResyncOptions, reply resyncReply) api.Plan {
	plan := api.Plan{Kind: kind, DryRun: true, Mode: &o.Mode, Groups: reply.Groups}
	for _, p := range plan.Groups {
		if p.Resync != nil {
			plan.LogEntries += p.Resync.Entries
			plan.Bytes += p.Resync.Bytes
		}
	}
	return plan
}

// checkResync refuses what cannot be, whoever runs it, and names the groups.
func (g *Gateway) checkResync(ctx context.Context, r ResyncRequest) (ResyncRequest, membership.NodeID, error) {
	var err error
	if r.ResyncOptions, err = checkOptions(r.ResyncOptions); err != nil {
		return r, membership.NodeID{}, err
	}
	if r.Target == "" {
		return r, membership.NodeID{}, api.E(api.InvalidArgument, "--target NODE; see `flotilla nodes`", "a resync needs the node whose replicas it is about")
	}
	all := len(r.Groups) == 0
	if r.Groups, err = g.existing(ctx, r.Groups); err != nil {
		return r, membership.NodeID{}, err
	}
	t, target, known := g.tableWith(ctx, r.Target)
	if !known {
		return r, target, api.E(api.NodeNotFound, "see `flotilla nodes`", "node %q does not exist", r.Target)
	}
	if err := g.checkFrom(t, r.From, r.Target); err != nil {
		return r, target, err
	}
	if all {
		r.Groups = slices.DeleteFunc(r.Groups, func(id uint32) bool { return !t.Assignments[id].Holds(r.Target) })
		return r, target, nil
	}
	for _, id := range r.Groups {
		if !t.Assignments[id].Holds(r.Target) {
			return r, target, api.E(api.Conflict, fmt.Sprintf("`flotilla group move %d` gives it one", id),
				"node %q holds no replica of group %d", r.Target, id).InGroup(id)
		}
	}
	return r, target, nil
}

// tableWith gives the table and a node in it: a fresh one where this node has
// not heard of that one.
func (g *Gateway) tableWith(ctx context.Context, name string) (*Table, membership.NodeID, bool) {
	t := g.cfg.Directory.Table()
	id, known := t.node(name)
	if !known && name != "" && g.freshTable(ctx) == nil {
		t = g.cfg.Directory.Table()
		id, known = t.node(name)
	}
	return t, id, known
}

func (g *Gateway) checkFrom(t *Table, from, target string) error {
	switch _, known := t.node(from); {
	case from == "":
		return nil
	case !known:
		return api.E(api.NodeNotFound, "see `flotilla nodes`", "node %q does not exist", from)
	case from == target:
		return api.E(api.InvalidArgument, "leave --from out: the sources are found", "%s cannot be its own source", from)
	}
	return nil
}

// checkMove refuses a move that cannot be.
func (g *Gateway) checkMove(ctx context.Context, r MoveRequest) (MoveRequest, membership.NodeID, error) {
	var err error
	if r.ResyncOptions, err = checkOptions(r.ResyncOptions); err != nil {
		return r, membership.NodeID{}, err
	}
	if err := g.checkGroup(ctx, r.Group); err != nil {
		return r, membership.NodeID{}, err
	}
	t, target, known := g.tableWith(ctx, r.B)
	hint := fmt.Sprintf("see `flotilla group %d`", r.Group)
	switch a := t.Assignments[r.Group]; {
	case r.A == "" || r.B == "":
		return r, target, api.E(api.InvalidArgument, "--from A --to B", "a move needs the node that gives its replica up and the one that takes it")
	case !known:
		return r, target, api.E(api.NodeNotFound, "see `flotilla nodes`", "node %q does not exist", r.B)
	case !t.Nodes[r.B].Placeable || t.Nodes[r.B].State == membership.NodeDraining || t.Nodes[r.B].State == membership.NodeDrained:
		return r, target, api.E(api.Conflict, "see `flotilla nodes`", "node %q takes no replicas", r.B).InGroup(r.Group)
	case !a.Holds(r.A):
		return r, target, api.E(api.Conflict, hint, "node %q holds no replica of group %d", r.A, r.Group).InGroup(r.Group)
	case a.Holds(r.B):
		return r, target, api.E(api.Conflict, hint, "node %q holds a replica of group %d already", r.B, r.Group).InGroup(r.Group)
	}
	return r, target, g.checkFrom(t, r.From, r.B)
}

func checkOptions(o ResyncOptions) (ResyncOptions, error) {
	switch o.Mode {
	case "":
		o.Mode = api.ModeAuto
	case api.ModeAuto, api.ModeFullSync, api.ModePartialSync:
	default:
		return o, api.E(api.InvalidArgument, "auto, full-sync or partial-sync", "mode %q is not known", o.Mode)
	}
	if o.MaxPause == 0 {
		o.MaxPause = DefaultMaxPause
	}
	share := DefaultLeaderShare
	if o.LeaderShare == nil {
		o.LeaderShare = &share
	}
	switch {
	case o.MaxPause < 0 || o.MaxPause > MaxMaxPause:
		return o, api.E(api.InvalidArgument, fmt.Sprintf("above 0 and at most %s", MaxMaxPause), "writes cannot be paused for %s", o.MaxPause)
	case o.Rate < 0:
		return o, api.E(api.InvalidArgument, "bytes a second, as 64MiB", "rate %d", o.Rate)
	case o.Rate > 0 && o.Rate < MinRate:
		return o, api.E(api.InvalidArgument, "256KiB is the least; 0: storage.sync.rate alone bounds it", "a rate of %d bytes a second is too low", o.Rate)
	case !(*o.LeaderShare >= 0 && *o.LeaderShare <= 1):
		return o, api.E(api.InvalidArgument, "0% to 100%", "leader_share %v", *o.LeaderShare)
	}
	return o, nil
}

// resyncCall is what is asked of the target's node.
type resyncCall struct {
	Resync *ResyncRequest `json:"resync,omitempty"`
	Move   *MoveRequest   `json:"move,omitempty"`
	Plan   bool           `json:"plan"`
}

type resyncReply struct {
	Jobs   []api.Job       `json:"jobs"`
	Groups []api.GroupPlan `json:"groups"`
}

// askTarget asks the node that would drive the jobs. What its node refuses is
// its error, not that of the way there.
func (g *Gateway) askTarget(ctx context.Context, target membership.NodeID, call resyncCall) (resyncReply, error) {
	ctx, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	var reply replicaReply[targetReply]
	err := g.askJSON(ctx, target, MethodResync, call, &reply)
	if err == nil {
		err = reply.failure(target.Name)
	}
	switch {
	case err != nil:
		return resyncReply{}, noTarget(target.Name, err)
	case reply.Value.Problem != nil:
		return resyncReply{}, &api.Error{Problem: *reply.Value.Problem}
	}
	return reply.Value.resyncReply, nil
}

// noTarget says that a target's node drives nothing now. What the way there came to is no news to people, where there is none.
func noTarget(name string, err error) error {
	e := api.E(api.Unavailable, "it has to drive the copy into itself: start it and retry, see `flotilla nodes`", "node %q does not answer", name)
	switch {
	case errors.Is(err, ErrUnreachable):
		e.Detail = fmt.Sprintf("node %q is down or cannot be reached", name)
	case errors.Is(err, context.DeadlineExceeded):
		e.Detail = fmt.Sprintf("node %q did not answer within %s", name, beginTimeout)
	default:
		return e.Because(plain(err))
	}
	e.Cause = err
	return e
}

// targetReply is a reply, or the problem that the target's node had.
type targetReply struct {
	resyncReply
	Problem *api.Problem `json:"problem"`
}

func (g *Gateway) serveResync(ctx context.Context, m resyncCall) ([]byte, error) {
	if (m.Resync == nil) == (m.Move == nil) {
		return nil, fmt.Errorf("resync: %w", errPayload)
	}
	reply, err := g.resyncHere(ctx, m)
	answer := targetReply{resyncReply: reply}
	if e, ok := errors.AsType[*api.Error](err); ok {
		answer.Problem, err = &e.Problem, nil
	}
	return answerOf(answer, err)
}

func (g *Gateway) resyncHere(ctx context.Context, m resyncCall) (r resyncReply, err error) {
	runs := g.cfg.Resyncs
	switch {
	case runs == nil:
		return r, api.E(api.NotReady, "retry", "node %s is not ready to take a resync", g.cfg.Self.Name)
	case m.Resync != nil && m.Plan:
		r.Groups = runs.Plan(ctx, m.Resync.Groups, m.Resync.ResyncOptions)
	case m.Resync != nil:
		r.Jobs, err = runs.Begin(ctx, m.Resync.Groups, m.Resync.ResyncOptions)
	case m.Plan:
		r.Groups = runs.Plan(ctx, []uint32{m.Move.Group}, m.Move.ResyncOptions)
	default:
		var job api.Job
		job, err = runs.Move(ctx, m.Move.Group, m.Move.A, m.Move.ResyncOptions)
		r.Jobs = []api.Job{job}
	}
	return r, err
}
