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
	"github.com/flotilla-db/flotilla/walgap/antientropy"
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

// eachGroup does something for every group, so many at a time. Who leaves its
// seat while it waits makes room for another.
func eachGroup(ctx context.Context, atOnce int, groups []uint32, do func(group uint32, seat *antientropy.Seat)) {
	seats := antientropy.NewSeats(atOnce)
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, group := range groups {
		seat, err := seats.Take(ctx)
		if err != nil {
			return
		}
		wg.Go(func() {
			defer seat.Leave()
			do(group, seat)
		})
	}
}

// Trim starts the job that flushes, snapshots and drops the log up to applied
// on every live replica of some groups (none: all that exist), except for what a
// live replica has not got yet.
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
	result := api.TrimResult{Groups: len(groups), Trimmed: []api.TrimReplica{}, Held: []api.TrimReplica{},
		Offline: []api.TrimReplica{}, Failed: []api.TrimReplica{}}
	var mu sync.Mutex
	leaderless := true // all that failed would not have with a leader
	eachGroup(ctx, groupWorkers, groups, func(group uint32, _ *antientropy.Seat) {
		part, retry := g.trimGroup(ctx, group)
		mu.Lock()
		result.Trimmed = append(result.Trimmed, part.Trimmed...)
		result.Held = append(result.Held, part.Held...)
		result.Offline = append(result.Offline, part.Offline...)
		result.Failed = append(result.Failed, part.Failed...)
		leaderless = leaderless && retry
		mu.Unlock()
		progress(func(j *api.Job) {})
	})
	for _, list := range [...][]api.TrimReplica{result.Trimmed, result.Held, result.Offline, result.Failed} {
		slices.SortStableFunc(list, func(a, b api.TrimReplica) int { return int(a.GroupID) - int(b.GroupID) })
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

// trimGroup trims every live replica of a group. retry says that what failed,
// if anything did, would not have with a leader.
func (g *Gateway) trimGroup(ctx context.Context, group uint32) (part api.TrimResult, retry bool) {
	t := g.cfg.Directory.Table()
	keeps, _ := g.logKeeps(ctx, []uint32{group})
	keep := keeps[group]
	part.Held, retry = keep.held, true
	begin := uint64(0) // where the logs begin now
	for _, name := range t.Assignments[group].Nodes() {
		r := api.TrimReplica{GroupID: group, Node: name}
		log, err := g.trimReplica(ctx, t, name, trimRequest{group, keep.through})
		switch {
		case errors.Is(err, ErrUnreachable):
			r.Detail = err.Error()
			part.Offline = append(part.Offline, r)
		case err != nil:
			r.Detail = err.Error()
			part.Failed = append(part.Failed, r)
			retry = retry && errors.Is(err, ErrNotApplied)
		default:
			begin = max(begin, log.First)
			r.LogFirst = &log.First
			if r.Detail = fmt.Sprintf("log %d..%d", log.First, log.Last); log.First > log.Last {
				r.Detail = fmt.Sprintf("log empty after %d", log.Last)
			}
			if slices.Contains(keep.needy, name) {
				r.Detail += "; it needs a copy: what it lacks is in no log any more"
			}
			part.Trimmed = append(part.Trimmed, r)
		}
	}
	if begin > 1 { // the entries before are only where a log holds them
		for i := range part.Offline {
			part.Offline[i].LogFirst = &begin
			part.Offline[i].Detail += fmt.Sprintf("; it will need a copy when it comes back, unless its log reaches %d", begin-1)
		}
	}
	return part, retry
}

// errNodeDown: nobody is there to be asked.
var errNodeDown = fmt.Errorf("the node is down: %w", ErrUnreachable)

// trimReplica trims one replica and says what its log is then.
func (g *Gateway) trimReplica(ctx context.Context, t *Table, name string, request trimRequest) (trimAnswer, error) {
	node, known := t.Nodes[name]
	if state, _ := g.seen(node); !known || state == membership.NodeDown {
		return trimAnswer{}, errNodeDown
	}
	ctx, cancel := context.WithTimeout(ctx, trimTimeout)
	defer cancel()
	return askReplica[trimAnswer](ctx, g, node.NodeID, MethodTrim, request)
}
