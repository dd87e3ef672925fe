package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/membership/gossip"
)

// rejoinPause is the pause before a step towards membership is tried again.
const rejoinPause = 500 * time.Millisecond

// becomeMember makes this node part of a cluster: the one that its data
// directory names, a new one, or the one that gossip finds. It returns when the
// node's own table shows the cluster and the node in it; until then it tries,
// as long as ctx lives.
//
// A member opens its groups first: those of a cluster that restarts need no
// meta leader to elect their own. A new node learns first what was fixed when
// the cluster was made.
func (n *Node) becomeMember(ctx context.Context) error {
	clusterID, err := n.findCluster(ctx)
	if err != nil {
		return err
	}
	if err := n.refuseTwin(ctx); err != nil {
		return err
	}
	joined := n.identity.get().Joined
	if joined {
		if err := n.openHost(ctx, clusterID); err != nil {
			return err
		}
	}
	if err := n.gossip.CheckName(ctx); err != nil {
		return err
	}
	n.asked.Store(true) // from here on others may know this incarnation
	if err := n.retry(ctx, "join the meta group", func() error {
		return n.dir.Join(ctx, clusterID, n.knownPeers)
	}); err != nil {
		return err
	}
	if !joined {
		if err := n.adoptFixed(); err != nil {
			return err
		}
		if err := n.openHost(ctx, clusterID); err != nil {
			return err
		}
	}
	if err := n.retry(ctx, "register this node", func() error { return n.dir.RegisterNode(ctx, n.row()) }); err != nil {
		return err
	}
	total := n.dir.Table().TotalGroups
	if joined && n.identity.get().TotalGroups == total {
		return nil
	}
	// From here on a meta group without state is a lost one, and never made anew.
	return n.identity.update(func(id *Identity) { id.Joined, id.TotalGroups = true, total })
}

// finals are the errors that no repetition can help.
var finals = []error{directory.ErrReplaced, directory.ErrForeign, directory.ErrStateLost, directory.ErrInvalid, gossip.ErrNameTaken, gossip.ErrForeign, gossip.ErrTwin}

func isFinal(err error) bool {
	return slices.ContainsFunc(finals, func(final error) bool { return errors.Is(err, final) })
}

// explain adds to a final error what the operator can do.
func (n *Node) explain(err error) error {
	switch {
	case errors.Is(err, directory.ErrReplaced):
		return fmt.Errorf("%w (hint: another %s has taken its places: give this one an empty --data-dir, or another --name as well)", err, n.id.Name)
	case errors.Is(err, directory.ErrForeign):
		return fmt.Errorf("%w (hint: check --join, or give an empty --data-dir)", err)
	}
	return err
}

// retry repeats a step until it succeeds, ctx ends, or no repetition can help.
func (n *Node) retry(ctx context.Context, what string, step func() error) error {
	for {
		err := step()
		if err == nil {
			return nil
		}
		if isFinal(err) {
			return fmt.Errorf("%s: %w", what, n.explain(err))
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
		n.log.Warn("not a member yet, trying again", "step", what, "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rejoinPause):
		}
	}
}

// findCluster returns the id of the cluster that this node belongs to, after it
// was written down. A node with neither seeds nor peers to expect makes its own.
func (n *Node) findCluster(ctx context.Context) (string, error) {
	if id := n.identity.get().ClusterID; id != "" {
		// A crash between the id and the first entry of the meta group is taken up.
		if known := n.identity.get(); known.Founder && !known.Joined {
			return id, n.found(ctx, id)
		}
		return id, nil
	}
	outcome := gossip.Outcome{Bootstrap: true}
	if len(n.cfg.Join) > 0 || n.cfg.BootstrapExpect > 1 {
		var err error
		if outcome, err = n.gossip.AwaitCluster(ctx); err != nil {
			return "", fmt.Errorf("find a cluster: %w", err)
		}
	}
	if outcome.Bootstrap {
		outcome.ClusterID = uuid.NewString()
	}
	if err := n.adopt(outcome); err != nil {
		return "", err
	}
	if outcome.Bootstrap {
		n.log.Info("this node makes a new cluster", "cluster_id", outcome.ClusterID)
		return outcome.ClusterID, n.found(ctx, outcome.ClusterID)
	}
	return outcome.ClusterID, nil
}

// adopt writes the cluster down before anybody hears of it.
func (n *Node) adopt(o gossip.Outcome) error {
	if err := n.identity.update(func(id *Identity) { id.ClusterID, id.Founder = o.ClusterID, o.Bootstrap }); err != nil {
		return err
	}
	return n.gossip.SetClusterID(o.ClusterID)
}

// row is this node's own row of the node table.
func (n *Node) row() membership.Node {
	return membership.Node{
		NodeID: n.id, Zone: n.cfg.Zone, Version: n.version,
		RPCAddr: n.addrs.rpc, HTTPAddr: n.addrs.http, GossipAddr: n.addrs.gossip,
		State: membership.NodeUp, Placeable: true, StartedAt: n.startedAt,
	}
}

// knownPeers are the nodes that could take this one in: those of the table, and
// those that gossip sees in the same cluster.
func (n *Node) knownPeers() []membership.NodeID {
	var peers []membership.NodeID
	seen := map[membership.NodeID]bool{n.id: true}
	for _, row := range n.dir.Table().Nodes {
		if !seen[row.NodeID] {
			seen[row.NodeID] = true
			peers = append(peers, row.NodeID)
		}
	}
	cluster := n.identity.get().ClusterID
	for _, m := range n.gossip.Members() {
		if !seen[m.NodeID] && m.ClusterID == cluster {
			seen[m.NodeID] = true
			peers = append(peers, m.NodeID)
		}
	}
	return peers
}

// resolve finds the address of a node: what it announces now goes before what
// the table remembers.
func (n *Node) resolve(id membership.NodeID) (addr string, ok bool) {
	if m, ok := n.gossipMember(id); ok && m.RPCAddr != "" {
		return m.RPCAddr, true
	}
	row, ok := n.dir.Table().Nodes[id.Name]
	return row.RPCAddr, ok && row.NodeID == id && row.RPCAddr != ""
}

// knownGossipAddrs are what gossip re-joins when its seeds are gone.
func (n *Node) knownGossipAddrs() []string {
	if addrs := gossipAddrs(n.dir.Table(), n.id); len(addrs) > 0 {
		return addrs
	}
	return n.identity.get().Peers // the table is not known yet
}
