package clustertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage/digest"
)

const (
	// cutTTL is how long a cut's views are kept, rootTimeout how long a group's
	// roots may take.
	cutTTL, rootTimeout = 30 * time.Second, 20 * time.Second
	// cutsAtOnce bounds the groups that are compared at the same time.
	cutsAtOnce = 32
)

// CompareRoots puts a cut into every group that exists, and compares the roots
// of all its holders at that cut. It returns how many groups it compared, and
// what differs.
func (c *Cluster) CompareRoots() (groups int, err error) {
	c.t.Helper()
	table := c.nodes[c.Up()[0]].Node().Meta().Table()
	slots := make(chan struct{}, cutsAtOnce)
	errs := make([]error, len(table.Assignments))
	var wg sync.WaitGroup
	for _, a := range table.SortedAssignments() {
		at := groups
		groups++
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[at] = c.compareRoots(a)
		})
	}
	wg.Wait()
	return groups, errors.Join(errs...)
}

func (c *Cluster) compareRoots(a membership.Assignment) error {
	ctx, cancel := context.WithTimeout(context.Background(), rootTimeout)
	defer cancel()
	leader, cut, err := c.cut(ctx, a.Group)
	if err != nil {
		return err
	}
	roots := make(map[digest.ID][]string)
	for i, m := range c.nodes {
		if !a.Holds(m.Name) || m.Node() == nil {
			continue
		}
		g, ok := c.Group(i, a.Group)
		if !ok {
			return fmt.Errorf("group %d is not open on %s", a.Group, m.Name)
		}
		root, _, err := g.Root(ctx, cut)
		if err != nil {
			return fmt.Errorf("root of group %d on %s: %w", a.Group, m.Name, err)
		}
		roots[root] = append(roots[root], m.Name)
	}
	if g, ok := c.Group(leader, a.Group); ok {
		_, _ = g.End(ctx, cut) // or it ends by its ttl: the leader may have changed
	}
	if len(roots) != 1 {
		return fmt.Errorf("group %d: replicas differ: %v", a.Group, roots)
	}
	return nil
}

// cut puts a cut into a group through whoever leads it.
func (c *Cluster) cut(ctx context.Context, group uint32) (leader int, id string, err error) {
	for ctx.Err() == nil {
		if i, led := c.Leader(group); led {
			if g, ok := c.Group(i, group); ok {
				if id, _, err = g.Cut(ctx, "test", cutTTL); err == nil {
					return i, id, nil
				}
			}
		}
		time.Sleep(awaitStep)
	}
	return 0, "", fmt.Errorf("cut of group %d: %w", group, errors.Join(err, ctx.Err()))
}

// voters lists the nodes that vote in a group, as its leader has applied it.
func (c *Cluster) voters(group uint32) []string {
	i, led := c.Leader(group)
	g, ok := c.Group(i, group)
	if !led || !ok {
		return nil
	}
	members, _, err := g.Members()
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range members {
		if m.Voter {
			names = append(names, m.ID.Name)
		}
	}
	slices.Sort(names)
	return names
}
