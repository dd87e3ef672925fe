package gateway

import (
	"context"
	"sync"
)

// RootsAt has the replicas of a group, but that on one node, tell their roots at a cut that they have pinned: each remembers
// what it told, for its row. It reports whether those that told are equal; one that does not answer is no evidence.
// It waits for all of them, until ctx ends: the caller bounds it.
func (g *Gateway) RootsAt(ctx context.Context, group uint32, cut, except string) (equal bool) {
	t := g.cfg.Directory.Table()
	var mu sync.Mutex // guards roots
	type told struct {
		lineage, root string
		index         uint64
	}
	roots := map[told]bool{}
	var wg sync.WaitGroup
	for _, name := range t.Assignments[group].Nodes() {
		to, known := t.node(name)
		if name == except || !known {
			continue
		}
		wg.Go(func() {
			r, err := askReplica[Root](ctx, g, to, MethodRoots, rootRequest{group, cut})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			roots[told{r.Lineage, r.Root, r.Index}] = true
		})
	}
	wg.Wait()
	return len(roots) <= 1
}
