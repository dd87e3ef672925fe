package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// Questions about one replica, answered by its node.

type cutRequest struct {
	Group   uint32 `json:"group"`
	Purpose string `json:"purpose"`
	TTLms   int64  `json:"ttl_ms"`
}

type cutAnswer struct {
	ID    string `json:"id"`
	Index uint64 `json:"index"`
}

type rootRequest struct {
	Group uint32 `json:"group"`
	Cut   string `json:"cut"` // "": at what is applied now
}

type groupRequest struct {
	Group uint32 `json:"group"`
	To    string `json:"to"`
}

type trimRequest struct {
	Group   uint32 `json:"group"`
	Through uint64 `json:"through"` // see logKeep
}

// trimAnswer is the log after a trim; First is Last+1 when it is empty.
type trimAnswer struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

func (g *Gateway) held(id uint32) (Group, error) {
	group, ok := g.cfg.Host.Group(id)
	if !ok {
		return nil, fmt.Errorf("group %d: %w", id, errNoHolder)
	}
	return group, nil
}

func (g *Gateway) serveCut(ctx context.Context, m cutRequest) ([]byte, error) {
	group, err := g.held(m.Group)
	if err != nil {
		return answerOf(cutAnswer{}, &NotLeaderError{})
	}
	id, index, err := group.Cut(ctx, m.Purpose, time.Duration(m.TTLms)*time.Millisecond)
	return answerOf(cutAnswer{id, index}, elsewhere(err))
}

// elsewhere makes of a replica that does not run one that does not lead: who asks
// for the leader has to look on.
func elsewhere(err error) error {
	if errors.Is(err, ErrNotRunning) {
		return &NotLeaderError{}
	}
	return err
}

func (g *Gateway) serveRoots(ctx context.Context, m rootRequest) ([]byte, error) {
	group, err := g.held(m.Group)
	if err != nil {
		return answerOf(Root{}, err)
	}
	if m.Cut == "" {
		return answerOf(group.CurrentRoot(ctx))
	}
	return answerOf(group.AwaitRoot(ctx, m.Cut))
}

func (g *Gateway) serveTrim(ctx context.Context, m trimRequest) ([]byte, error) {
	group, err := g.held(m.Group)
	if err == nil {
		err = group.Trim(ctx, m.Through)
	}
	var a trimAnswer
	if err == nil {
		r := group.Status().Replica
		a.First, a.Last = r.LogFirst, r.LogLast
	}
	return answerOf(a, err)
}

func (g *Gateway) serveStepDown(ctx context.Context, m groupRequest) ([]byte, error) {
	group, err := g.held(m.Group)
	if err != nil {
		return answerOf("", &NotLeaderError{})
	}
	if m.To == g.cfg.Self.Name && group.IsLeader() {
		return answerOf(leadsAlready, nil)
	}
	return answerOf("", elsewhere(group.StepDown(ctx, m.To)))
}

// endCut ends the views of a cut on every replica, through the log.
func (g *Gateway) endCut(ctx context.Context, group uint32, id string) error {
	return g.command(ctx, group, storage.AppendEnd(nil, id))
}

// command has the leader of a group propose a command.
func (g *Gateway) command(ctx context.Context, group uint32, frames []byte) error {
	p := &part{group: group, frames: frames}
	return g.deliver(ctx, [][]*part{{p}}, time.Now().Add(g.cfg.WriteTimeout))
}

// leadsAlready is the answer to a step-down whose target leads: it is done.
const leadsAlready = "leads already"

// stepDownTimeout bounds one hand-over with its search for the leader.
const stepDownTimeout = 10 * time.Second

// StepDown starts the job that hands a group's leadership over, to a node or
// ("") to whoever is best.
func (g *Gateway) StepDown(ctx context.Context, id uint32, to string) (api.Job, error) {
	if err := g.checkStepDown(ctx, id, to); err != nil {
		return api.Job{}, err
	}
	var target *string
	if to != "" {
		target = &to
	}
	return g.jobs.start(api.JobStepDown, &id, target, nil, func(ctx context.Context, _ func(func(*api.Job))) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, stepDownTimeout)
		defer cancel()
		answer, leader, err := askLeader[string](ctx, g, id, MethodStepDown, groupRequest{id, to})
		already := err == nil && answer == leadsAlready
		if !already {
			g.hints.set(id, "")
		}
		return api.StepDownResult{GroupID: id, From: leader, To: target, Already: already}, notHandedOver(id, err)
	})
}

// checkStepDown refuses what cannot be, whoever leads.
func (g *Gateway) checkStepDown(ctx context.Context, id uint32, to string) error {
	if err := g.checkGroup(ctx, id); err != nil {
		return err
	}
	hint := fmt.Sprintf("see `flotilla group %d`", id)
	switch a := g.cfg.Directory.Table().Assignments[id]; {
	case to != "" && !a.Holds(to):
		return api.E(api.Conflict, hint, "node %q holds no replica of group %d", to, id)
	case to == "" && len(a.Replicas) == 0:
		return api.E(api.Conflict, hint, "group %d has one replica: nobody else can lead it", id)
	}
	return nil
}

// notHandedOver classes the failure of a hand-over: only a broken connection
// leaves open what became of it.
func notHandedOver(group uint32, err error) error {
	_, classed := errors.AsType[*api.Error](err)
	hint := fmt.Sprintf("`flotilla group %d` shows who leads", group)
	switch {
	case err == nil || classed:
		return err
	case errors.Is(err, ErrRefused):
		return api.E(api.Conflict, hint, "the leadership was not handed over").Because(plain(err)).InGroup(group)
	case errors.Is(err, ErrBroken), errors.Is(err, context.DeadlineExceeded):
		return api.E(api.OutcomeUnknown, hint, "the leadership may or may not be handed over").Because(plain(err)).InGroup(group)
	}
	return api.E(api.Unavailable, "retry; "+hint, "the leadership was not handed over").Because(plain(err)).InGroup(group)
}
