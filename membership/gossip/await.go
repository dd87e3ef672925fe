package gossip

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// settle is how long a complete set must stay the same before it is
	// promised: nodes that start together come in one by one.
	settle = time.Second
	look   = 200 * time.Millisecond
)

// Outcome is how a node without a cluster got one.
type Outcome struct {
	ClusterID string // the cluster to join
	Bootstrap bool   // this node makes the cluster; ClusterID is ""
}

// AwaitCluster waits until this node knows what cluster to join, or that it is
// the one to make it. It gives and keeps promises on the way (Config.Promise).
func (g *Gossip) AwaitCluster(ctx context.Context) (Outcome, error) {
	var steady []membership.NodeID
	var since time.Time
	for {
		changed := g.book.changes()
		d := Decide(g.view())
		switch d.Step {
		case StepJoin:
			return Outcome{ClusterID: d.ClusterID}, nil
		case StepBootstrap:
			return Outcome{Bootstrap: true}, nil
		case StepWait:
			steady = nil
			g.refusals.wait(d.Reason)
		case StepPromise:
			if !slices.Equal(steady, d.Set) {
				steady, since = d.Set, time.Now()
			}
			if time.Since(since) >= settle {
				if err := g.promise(d.Set); err != nil {
					return Outcome{}, err
				}
				continue
			}
		}
		timer := time.NewTimer(look)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Outcome{}, fmt.Errorf("wait for a cluster: %w", ctx.Err())
		}
		timer.Stop()
	}
}

func (g *Gossip) view() View {
	cluster := g.clusterID()
	g.mu.Lock()
	v := View{Self: g.cfg.Self, Expect: g.meta.Expect, ClusterID: cluster, Promised: g.promised}
	g.mu.Unlock()
	for _, m := range g.Members() {
		if m.NodeID != g.cfg.Self && m.State == membership.NodeUp && m.ClusterID == "" && m.Expect > 0 {
			v.Others = append(v.Others, Fresh{ID: m.NodeID, Expect: m.Expect, Promise: m.Promise})
		}
	}
	return v
}

// promise writes the set down, and then spreads it.
func (g *Gossip) promise(set []membership.NodeID) error {
	if g.cfg.Promise != nil {
		if err := g.cfg.Promise(set); err != nil {
			return fmt.Errorf("write down the promise of --bootstrap-expect: %w", err)
		}
	}
	g.mu.Lock()
	g.promised, g.meta.Promise = set, DigestOf(set)
	g.mu.Unlock()
	g.logger.Info("promised to make a cluster of these nodes", "nodes", fmt.Sprint(set))
	g.announce()
	return nil
}

// wait says what a node without a cluster waits for, once a minute.
func (r *refusals) wait(reason string) {
	if r.due("wait " + reason) {
		r.logger.Info("waits for a cluster", "why", reason)
	}
}
