package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/raftgroup/reconcile"
)

const (
	// readyPoll is the pause between two looks at what is still missing.
	readyPoll = 20 * time.Millisecond
	// readyAsk bounds the question how far a leader is.
	readyAsk = time.Second
	// readyAsksAtOnce bounds the questions under way.
	readyAsksAtOnce = 16
)

// readiness is what /readyz answers: the node is in the node table, its own
// table says so, and each of its groups knows a leader and has applied what that
// leader had applied when it was asked first. Once ready a node stays so: what
// becomes of single groups later is told by the tables.
type readiness struct {
	node *Node
	done chan struct{} // closed when ready

	mu      sync.Mutex
	missing []string // guarded by mu; a line each
}

func newReadiness(n *Node) *readiness {
	return &readiness{node: n, done: make(chan struct{}), missing: []string{"starting"}}
}

// Missing lists what the node lacks to be ready; none when it is.
func (r *readiness) Missing() []string {
	if r.node.stopping.Load() {
		return []string{"the node is stopping"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missing
}

// run looks until the node is ready or ctx ends.
func (r *readiness) run(ctx context.Context) {
	goals := make(map[uint32]uint64)     // group -> index that has to be applied here
	reached := make(map[uint32]struct{}) // groups that have applied it
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		missing := r.membership()
		if len(missing) == 0 {
			missing = r.groups(ctx, goals, reached)
		}
		r.mu.Lock()
		r.missing = missing
		r.mu.Unlock()
		if len(missing) == 0 {
			close(r.done)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *readiness) membership() []string {
	row, known := r.node.dir.Table().Node(r.node.id)
	_, led := r.node.dir.Leader()
	switch {
	case r.node.identity.get().ClusterID == "":
		return []string{"not part of a cluster yet" + r.node.gossip.Trouble()}
	case r.node.identity.get().Joined && r.node.hosts.host.Load() == nil:
		return []string{"the groups of this node are being opened"}
	case !known && !led:
		return []string{"no leader of the meta group is heard: it needs a quorum of its voters" + r.node.gossip.Trouble()}
	case !known:
		return []string{"not in the node table yet"}
	case !row.Placeable:
		return []string{"not placeable in the node table"}
	case !r.node.member.Load():
		return []string{"membership is not confirmed yet"}
	}
	return nil
}

// groups asks leaders that were not asked yet, and compares.
func (r *readiness) groups(ctx context.Context, goals map[uint32]uint64, reached map[uint32]struct{}) []string {
	var closed, leaderless, behind int
	var unasked []*raftgroup.Group
	for _, a := range r.node.dir.Table().HeldBy(r.node.id.Name) {
		if _, ok := reached[a.Group]; ok {
			continue
		}
		g, open := r.node.hosts.host.Load().Group(a.Group)
		if !open || !g.Running() {
			closed++
			continue
		}
		goal, asked := goals[a.Group]
		if !asked {
			leaderless++
			unasked = append(unasked, g)
			continue
		}
		if shard := g.Shard(); shard != nil && shard.Applied().Index >= goal {
			reached[a.Group] = struct{}{}
			continue
		}
		behind++
	}
	r.ask(ctx, unasked, goals)
	var missing []string
	for _, m := range []struct {
		count int
		text  string
	}{{closed, "%d groups are not open"}, {leaderless, "%d groups have no leader that answers"}, {behind, "%d groups are behind their leader"}} {
		if m.count > 0 {
			missing = append(missing, fmt.Sprintf(m.text, m.count))
		}
	}
	return missing
}

// ask notes how far the leaders of these groups are.
func (r *readiness) ask(ctx context.Context, groups []*raftgroup.Group, goals map[uint32]uint64) {
	ctx, cancel := context.WithTimeout(ctx, readyAsk)
	defer cancel()
	var mu sync.Mutex // guards goals
	var wg sync.WaitGroup
	slots := make(chan struct{}, readyAsksAtOnce)
	peers := reconcile.Remote{Call: r.node.reconcileCall}
	for _, g := range groups {
		leader, known := g.Leader()
		if !known {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			replica, err := peers.Describe(ctx, leader.NodeID, g.ID())
			if err != nil || replica.Server != leader {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			goals[g.ID()] = replica.Applied
		})
	}
	wg.Wait()
}
