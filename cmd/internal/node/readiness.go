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
	// readyPoll is the pause between two looks at what is still missing; it grows
	// to maxReadyPoll with the time that has passed, by a readyPart of it: a look
	// at 256 groups costs a millisecond, and a node that copies all of its data is
	// not ready for minutes.
	readyPoll    = 20 * time.Millisecond
	maxReadyPoll = 500 * time.Millisecond
	readyPart    = 20
	// readyAsk bounds the question how far a leader is.
	readyAsk = time.Second
	// readyAsksAtOnce bounds the questions under way.
	readyAsksAtOnce = 16
)

// readiness is what /readyz answers: the node is in the node table, its own
// table says so, and each of its groups knows a leader and has applied what that
// leader had applied when it was asked first. Once ready a node stays so, unless its
// replica of the meta group stops for good: what becomes of single groups later
// is told by the tables.
type readiness struct {
	node *Node
	done chan struct{} // closed when ready

	mu      sync.Mutex
	missing []string // guarded by mu; a line each
	syncing int      // guarded by mu; groups that were not waited for
}

func newReadiness(n *Node) *readiness {
	return &readiness{node: n, done: make(chan struct{}), missing: []string{"starting"}}
}

// Missing lists what the node lacks to be ready; none when it is.
func (r *readiness) Missing() []string {
	if r.node.stopping.Load() {
		return []string{"the node is stopping"}
	}
	select {
	case <-r.done:
		if err := r.node.dir.Halted(); err != nil {
			return []string{halted(err)}
		}
	default:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missing
}

func halted(err error) string { return "the replica of the meta group has stopped: " + err.Error() }

// Syncing is how many groups are still being brought up to date, of those that
// were when the node became ready.
func (r *readiness) Syncing() int {
	r.mu.Lock()
	syncing := r.syncing
	r.mu.Unlock()
	if syncing == 0 {
		return 0
	}
	now := 0
	for _, a := range r.node.dir.Table().HeldBy(r.node.id.Name) {
		if g, open := r.node.hosts.host.Load().Group(a.Group); !open || g.Status().State != raftgroup.ReplicaReady {
			now++
		}
	}
	return min(syncing, now)
}

// run looks until the node is ready or ctx ends.
func (r *readiness) run(ctx context.Context) {
	goals := make(map[uint32]uint64)     // group -> index that has to be applied here
	reached := make(map[uint32]struct{}) // groups that have applied it
	timer := time.NewTimer(readyPoll)
	defer timer.Stop()
	for began := time.Now(); ; {
		missing, syncing := r.membership(), 0
		if len(missing) == 0 {
			late := time.Since(r.node.startedAt) >= r.node.policyConfig().Storage.Sync.StartupTimeout
			missing, syncing = r.groups(ctx, goals, reached).missing(late)
		}
		r.mu.Lock()
		r.missing, r.syncing = missing, syncing
		r.mu.Unlock()
		if len(missing) == 0 {
			close(r.done)
			return
		}
		timer.Reset(min(max(readyPoll, time.Since(began)/readyPart), maxReadyPoll))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

func (r *readiness) membership() []string {
	row, known := r.node.dir.Table().Node(r.node.id)
	_, led := r.node.dir.Leader()
	switch {
	case r.node.dir.Halted() != nil:
		return []string{halted(r.node.dir.Halted())}
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

// progress is how far the groups of this node are.
type progress struct{ closed, leaderless, behind, unproven int }

// missing says what still lacks. Once it is late (storage.sync.startup_timeout)
// only leaders do: what is copied, or waits for a resync, takes as long as it
// takes.
func (p progress) missing(late bool) (lines []string, syncing int) {
	if late {
		syncing = p.closed + p.behind + p.unproven
		p.closed, p.behind, p.unproven = 0, 0, 0
	}
	for _, m := range []struct {
		count int
		text  string
	}{
		{p.closed, "%d groups are not open"}, {p.leaderless, "%d groups have no leader that answers"},
		{p.behind, "%d groups are behind their leader"}, {p.unproven, "%d groups are not counted as replicas yet"},
	} {
		if m.count > 0 {
			lines = append(lines, fmt.Sprintf(m.text, m.count))
		}
	}
	return lines, syncing
}

// groups asks leaders that were not asked yet, and compares.
func (r *readiness) groups(ctx context.Context, goals map[uint32]uint64, reached map[uint32]struct{}) progress {
	var p progress
	var unasked []*raftgroup.Group
	for _, a := range r.node.dir.Table().HeldBy(r.node.id.Name) {
		if _, ok := reached[a.Group]; ok {
			continue
		}
		g, open := r.node.hosts.host.Load().Group(a.Group)
		if !open || !g.Running() {
			p.closed++
			continue
		}
		goal, asked := goals[a.Group]
		if !asked && !g.Member() {
			p.unproven++ // it hears no leader before it is added
			continue
		}
		if !asked {
			p.leaderless++
			unasked = append(unasked, g)
			continue
		}
		switch shard := g.Shard(); {
		case shard == nil || shard.Applied().Index < goal:
			p.behind++
		case g.Status().State != raftgroup.ReplicaReady:
			p.unproven++ // without a vote until its data is proven
		default:
			reached[a.Group] = struct{}{}
		}
	}
	r.ask(ctx, unasked, goals)
	return p
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
