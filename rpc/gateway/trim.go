package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	// groupWorkers is how many groups a job over all groups has in work.
	groupWorkers = 16
	// trimTimeout bounds the trimming of one replica.
	trimTimeout = time.Minute
)

// existing gives the groups that a job is about: those named, which must
// exist, or all that do.
func (g *Gateway) existing(ctx context.Context, groups []uint32) ([]uint32, error) {
	for _, id := range groups {
		if err := g.checkGroup(ctx, id); err != nil {
			return nil, err
		}
	}
	if len(groups) == 0 {
		if err := g.freshTable(ctx); err != nil {
			return nil, err
		}
		for id := range g.cfg.Directory.Table().Assignments {
			groups = append(groups, id)
		}
	}
	groups = slices.Clone(groups)
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// only gives the group of a job that is about one.
func only(groups []uint32) *uint32 {
	if len(groups) != 1 {
		return nil
	}
	return &groups[0]
}

// eachGroup does something for every group, groupWorkers at a time.
func eachGroup(ctx context.Context, groups []uint32, do func(group uint32)) {
	next := make(chan uint32)
	var wg sync.WaitGroup
	for range min(groupWorkers, len(groups)) {
		wg.Go(func() {
			for group := range next {
				do(group)
			}
		})
	}
feed:
	for _, group := range groups {
		select {
		case next <- group:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
}

// Trim starts the job that flushes, snapshots and drops the log up to applied
// on every live replica of some groups (none: all that exist).
func (g *Gateway) Trim(ctx context.Context, groups []uint32) (api.Job, error) {
	groups, err := g.existing(ctx, groups)
	if err != nil {
		return api.Job{}, err
	}
	return g.jobs.start(api.JobTrim, only(groups), nil, nil, func(ctx context.Context, progress func(func(*api.Job))) (any, error) {
		return g.trim(ctx, groups, progress)
	})
}

func (g *Gateway) trim(ctx context.Context, groups []uint32, progress func(func(*api.Job))) (any, error) {
	result := api.TrimResult{Groups: len(groups), Trimmed: []api.TrimReplica{}, Offline: []api.TrimReplica{}, Failed: []api.TrimReplica{}}
	var mu sync.Mutex
	leaderless := true // all that failed would not have with a leader
	eachGroup(ctx, groups, func(group uint32) {
		t := g.cfg.Directory.Table()
		for _, name := range t.Assignments[group].Nodes() {
			r := api.TrimReplica{GroupID: group, Node: name}
			list := &result.Trimmed
			detail, err := g.trimReplica(ctx, t, group, name)
			if r.Detail = detail; err != nil {
				list, r.Detail = &result.Failed, err.Error()
			}
			if errors.Is(err, ErrUnreachable) {
				list = &result.Offline
			}
			mu.Lock()
			*list = append(*list, r)
			leaderless = leaderless && (err == nil || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNotApplied))
			mu.Unlock()
		}
		progress(func(j *api.Job) {})
	})
	for _, list := range [...][]api.TrimReplica{result.Trimmed, result.Offline, result.Failed} {
		slices.SortFunc(list, func(a, b api.TrimReplica) int { return int(a.GroupID) - int(b.GroupID) })
	}
	switch {
	case ctx.Err() != nil:
		return result, ctx.Err()
	case len(result.Failed) > 0:
		f := result.Failed[0]
		text := fmt.Sprintf("%d replicas were not trimmed, the first is group %d on %s: %s", len(result.Failed), f.GroupID, f.Node, f.Detail)
		if leaderless {
			return result, api.E(api.NoLeader, fmt.Sprintf("retry; `flotilla group %d` shows its replicas", f.GroupID), "%s", text)
		}
		return result, errors.New(text)
	}
	return result, nil
}

// errNodeDown: nobody is there to be asked.
var errNodeDown = fmt.Errorf("the node is down: %w", ErrUnreachable)

// trimReplica trims one replica and says what its log is then.
func (g *Gateway) trimReplica(ctx context.Context, t *Table, group uint32, name string) (string, error) {
	node, known := t.Nodes[name]
	if state, _ := g.seen(node); !known || state == membership.NodeDown {
		return "", errNodeDown
	}
	ctx, cancel := context.WithTimeout(ctx, trimTimeout)
	defer cancel()
	return askReplica[string](ctx, g, node.NodeID, MethodTrim, groupRequest{Group: group})
}
