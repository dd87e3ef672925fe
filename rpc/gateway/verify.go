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
	// cutTTL is how long the views of a check live if nobody ends them.
	cutTTL = 2 * time.Minute
	// cutTimeout bounds the search for a leader and the commit of a cut.
	cutTimeout = 10 * time.Second
	// rootTimeout bounds how long a replica is waited for.
	rootTimeout = 30 * time.Second
	// syncingTimeout is rootTimeout of a replica that says that it is not ready.
	syncingTimeout = 5 * time.Second
	// verifyAttempts is how often a group is tried that could not be checked
	// for a passing reason: a leader that changed, a view that was lost.
	verifyAttempts = 2
)

// Verify starts the job that compares the roots of all assigned replicas of
// some groups (none: all that exist).
func (g *Gateway) Verify(ctx context.Context, r api.VerifyRequest) (api.Job, error) {
	groups := r.Groups
	mode, err := verifyMode(r.Mode)
	if err != nil {
		return api.Job{}, err
	}
	if groups, err = g.existing(ctx, groups); err != nil {
		return api.Job{}, err
	}
	return g.jobs.start(api.JobVerify, only(groups), nil, &mode, func(ctx context.Context, progress func(func(*api.Job))) (any, error) {
		return g.verify(ctx, groups, mode, progress)
	})
}

// verifyMode reads the name of a mode; "" is advanced-verify.
func verifyMode(mode string) (string, error) {
	switch mode {
	case "":
		return api.ModeAdvancedVerify, nil
	case api.ModeVerify, api.ModeAdvancedVerify:
		return mode, nil
	}
	return "", api.E(api.InvalidArgument, "verify or advanced-verify", "mode %q is not known", mode)
}

func (g *Gateway) verify(ctx context.Context, groups []uint32, mode string, progress func(func(*api.Job))) (any, error) {
	begin := time.Now()
	result := api.VerifyResult{Mode: mode, GroupsTotal: len(groups), Findings: []api.Finding{}, Unchecked: []api.Unchecked{}}
	var mu sync.Mutex
	known := &conditions{g: g}
	eachGroup(ctx, groups, func(group uint32) {
		c, bytes := g.verifyGroup(ctx, known, group, mode)
		mu.Lock()
		result.BytesRead += bytes
		switch {
		case c.Equal:
			result.GroupsEqual++
			g.proofs.note(group, time.Now())
		case len(c.Findings) > 0:
			result.GroupsDamaged++
			result.Findings = append(result.Findings, c.Findings...)
		default:
			result.GroupsUnchecked++
			result.Unchecked = append(result.Unchecked, api.Unchecked{GroupID: group, Reason: c.Unchecked})
		}
		mu.Unlock()
		progress(func(j *api.Job) { j.BytesDone += bytes })
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	result.DurationMs = time.Since(begin).Milliseconds()
	slices.SortFunc(result.Findings, func(a, b api.Finding) int { return int(a.GroupID) - int(b.GroupID) })
	slices.SortFunc(result.Unchecked, func(a, b api.Unchecked) int { return int(a.GroupID) - int(b.GroupID) })
	return result, nil
}

// verifyGroup checks one group. It tries again where the reason may pass.
func (g *Gateway) verifyGroup(ctx context.Context, known *conditions, group uint32, mode string) (c Comparison, bytes int64) {
	for range verifyAttempts {
		var roots []ReplicaRoot
		if mode == api.ModeVerify {
			roots = g.rootsOf(ctx, known, group, "")
		} else {
			var err error
			if roots, err = g.rootsAtCut(ctx, known, group); err != nil {
				c = Comparison{Unchecked: err.Error()}
				continue
			}
		}
		for i := range roots {
			bytes += roots[i].Root.Bytes
		}
		if c = Compare(group, roots); c.Unchecked == "" || !passing(roots) {
			break
		}
	}
	return c, bytes
}

// passing reports whether another try may check what this one could not:
// every replica is there, only the moment was wrong.
func passing(roots []ReplicaRoot) bool {
	return !slices.ContainsFunc(roots, func(r ReplicaRoot) bool { return r.Err != nil && !errors.Is(r.Err, ErrNotPinned) })
}

// rootsAtCut puts a cut into the group's log, asks every assigned replica for
// its root there, and ends the cut's views again.
func (g *Gateway) rootsAtCut(ctx context.Context, known *conditions, group uint32) ([]ReplicaRoot, error) {
	cctx, cancel := context.WithTimeout(ctx, cutTimeout)
	defer cancel()
	cut, _, err := askLeader[cutAnswer](cctx, g, group, MethodCut, cutRequest{group, "verify", cutTTL.Milliseconds()})
	if err != nil {
		return nil, fmt.Errorf("no cut: %w", err)
	}
	roots := g.rootsOf(ctx, known, group, cut.ID)
	if err := g.endCut(context.WithoutCancel(ctx), group, cut.ID); err != nil {
		g.logger.Warn("the views of a check end by their ttl only", "group", group, "cut", cut.ID, "error", err)
	}
	return roots, nil
}

// rootsOf asks every assigned replica at once. One that cannot get there has
// its reason for a root: it is not waited for.
func (g *Gateway) rootsOf(ctx context.Context, known *conditions, group uint32, cut string) []ReplicaRoot {
	t := g.cfg.Directory.Table()
	names := t.Assignments[group].Nodes()
	conds := known.of(ctx, t.Assignments[group], conditionsAge)
	out := make([]ReplicaRoot, len(names))
	late := make([]bool, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		out[i].Node = name
		node, there := t.Nodes[name]
		if state, _ := g.seen(node); !there || state == membership.NodeDown {
			out[i].Err = fmt.Errorf("node %s is down", name)
			continue
		}
		c := conds[name]
		if c.cut {
			out[i].Err = fmt.Errorf("node %s: %s", name, c.why)
			continue
		}
		limit := rootTimeout
		if c.state == api.ReplicaSyncing {
			limit = syncingTimeout
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			out[i].Root, out[i].Err = askReplica[Root](ctx, g, node.NodeID, MethodRoots, rootRequest{group, cut})
			late[i] = out[i].Err != nil && (errors.Is(out[i].Err, context.DeadlineExceeded) || ctx.Err() != nil)
		})
	}
	wg.Wait()
	if slices.Contains(late, true) && ctx.Err() == nil {
		conds = known.of(ctx, t.Assignments[group], 0)
		for i, name := range names {
			switch c := conds[name]; {
			case late[i] && c.state == "":
				out[i].Err = errors.New(c.describe())
			case late[i]:
				out[i].Err = fmt.Errorf("node %s did not get to the cut in time: %s", name, c.describe())
			}
		}
	}
	return out
}
