package node

import (
	"context"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
)

const (
	// primariesPoll is how often a node looks for groups that it leads in
	// place of their primary.
	primariesPoll = time.Second
	// transfersAtOnce bounds planned transfers under way.
	transfersAtOnce = 16
	// transferPause is how long one transfer may hold writes.
	transferPause = 100 * time.Millisecond
	// transferLimit bounds one transfer with its questions.
	transferLimit = 3 * time.Second
	// transferAgain is the pause after a transfer that did not succeed.
	transferAgain = 10 * time.Second
	// transferSettled is how long this node must have led a group first: a group
	// that was just born, or whose leader has just died, has better things to do.
	transferSettled = 3 * time.Second
)

// primaries gives the groups that this node leads to their primaries, when
// those are there and hold all of the log.
type primaries struct {
	node  *Node
	tried map[uint32]time.Time // when a transfer of a group was last tried
	led   map[uint32]time.Time // since when this node is seen to lead a group
}

func newPrimaries(n *Node) *primaries {
	return &primaries{node: n, tried: make(map[uint32]time.Time), led: make(map[uint32]time.Time)}
}

func (p *primaries) run(ctx context.Context) {
	tick := time.NewTicker(primariesPoll)
	defer tick.Stop()
	for {
		p.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *primaries) look(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, transfersAtOnce)
	for _, g := range p.node.hosts.host.Load().Groups() {
		target, due := p.due(g)
		if !due {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		p.tried[g.ID()] = time.Now()
		wg.Go(func() {
			defer func() { <-slots }()
			limited, cancel := context.WithTimeout(ctx, transferLimit)
			defer cancel()
			if err := g.TransferLeadership(limited, target, transferPause); err != nil {
				p.node.log.Debug("primary does not lead yet", "group", g.ID(), "primary", target, "err", err)
			}
		})
	}
}

// due says whether this node leads a group whose primary is another voter that
// is up.
func (p *primaries) due(g *raftgroup.Group) (target membership.ServerID, due bool) {
	primary := p.node.primaryOf(g.ID())
	if !g.IsLeader() {
		delete(p.led, g.ID())
		return target, false
	}
	since, known := p.led[g.ID()]
	if !known {
		since = time.Now()
		p.led[g.ID()] = since
	}
	if time.Since(since) < transferSettled || primary == "" || primary == p.node.id.Name {
		return target, false
	}
	if at, ok := p.tried[g.ID()]; ok && time.Since(at) < transferAgain {
		return target, false
	}
	members, _, err := g.Members()
	if err != nil {
		return target, false
	}
	for _, m := range members {
		if m.Voter && m.ID.Name == primary {
			return m.ID, p.node.liveness.Up(m.ID.NodeID)
		}
	}
	return target, false
}
