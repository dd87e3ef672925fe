package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// errNoHolder: the node asked holds no replica of the group.
var errNoHolder = errors.New("no replica of the group on this node")

// replicaError is what a replica said, and the kind of it.
type replicaError struct {
	text string
	kind error
}

func (e *replicaError) Error() string { return e.text }
func (e *replicaError) Unwrap() error { return e.kind }

// noLeader is the failure of what only a leader can do.
func noLeader(group uint32) *api.Error {
	return api.E(api.NoLeader, fmt.Sprintf("retry; `flotilla group %d` shows its replicas", group), "no leader was found in time, nothing was done").InGroup(group)
}

// answerOf wraps the outcome of a question about a replica.
func answerOf[T any](v T, err error) ([]byte, error) {
	r := replicaReply[T]{Value: v}
	if err != nil {
		r.Error = err.Error()
		nl, ok := errors.AsType[*NotLeaderError](err)
		if r.NotLeader = ok; ok {
			r.Leader = nl.Leader
		}
		r.NotPinned = errors.Is(err, ErrNotPinned) || errors.Is(err, storage.ErrNotPinned) ||
			errors.Is(err, storage.ErrClosed) // under the view: it was started again
		r.Refused = errors.Is(err, ErrRefused)
		r.NotApplied = errors.Is(err, ErrNotApplied)
		r.Away = errors.Is(err, ErrAway)
		r.Structure = errors.Is(err, ErrStructure)
		r.Late = errors.Is(err, context.DeadlineExceeded)
	}
	return json.Marshal(r)
}

func (r *replicaReply[T]) failure(node string) error {
	switch {
	case r.Error == "":
		return nil
	case r.Structure:
		return &replicaError{fmt.Sprintf("node %s: %s", node, r.Error), ErrStructure}
	case r.NotLeader:
		return fmt.Errorf("node %s: %w", node, &NotLeaderError{Leader: r.Leader})
	case r.NotPinned:
		return fmt.Errorf("node %s: %w", node, ErrNotPinned)
	case r.Refused:
		return fmt.Errorf("node %s: %s: %w", node, r.Error, ErrRefused)
	case r.Away:
		return &replicaError{fmt.Sprintf("node %s: %s", node, r.Error), ErrAway}
	case r.NotApplied:
		return &replicaError{fmt.Sprintf("node %s: %s", node, r.Error), ErrNotApplied}
	case r.Late:
		return &replicaError{fmt.Sprintf("node %s: %s", node, r.Error), context.DeadlineExceeded}
	}
	return fmt.Errorf("node %s: %s", node, r.Error)
}

// askReplica asks one node about its replica.
func askReplica[T any](ctx context.Context, g *Gateway, to membership.NodeID, method Method, request any) (T, error) {
	return askReplicaOver[T](ctx, g.call, to, method, request)
}

func askReplicaOver[T any](ctx context.Context, call caller, to membership.NodeID, method Method, request any) (T, error) {
	var r replicaReply[T]
	if err := askOver(ctx, call, to, method, request, &r); err != nil {
		return r.Value, err
	}
	return r.Value, r.failure(to.Name)
}

// askLeader asks whoever leads the group, and looks for it until ctx ends. A
// question whose answer was lost is not asked again: it may have been carried
// out.
func askLeader[T any](ctx context.Context, g *Gateway, group uint32, method Method, request any) (value T, leader string, err error) {
	failed := ""
	err = errNoHolder
	for attempt := 0; ; attempt++ {
		if attempt > 0 && pause.For(ctx, backOff(attempt)) != nil {
			return value, "", noLeader(group).Because(err)
		}
		to, ok := g.route(g.cfg.Directory.Table(), group, attempt, failed)
		if !ok {
			continue
		}
		value, err = askReplica[T](ctx, g, to, method, request)
		nl, elsewhere := errors.AsType[*NotLeaderError](err)
		switch {
		case err == nil:
			g.hints.set(group, to.Name)
			return value, to.Name, nil
		case elsewhere:
			g.hints.set(group, nl.Leader)
			if failed = to.Name; nl.Leader != "" {
				failed = ""
			}
		case errors.Is(err, ErrUnreachable):
			failed = to.Name
			g.hints.set(group, "")
		default:
			return value, to.Name, err
		}
	}
}
