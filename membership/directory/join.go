package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/membership"
)

// Bootstrap makes a new cluster with this node as its only member. It may be
// repeated with the same arguments: a crash in the middle is taken up.
func (d *Directory) Bootstrap(ctx context.Context, clusterID string, totalGroups uint32) error {
	c := InitCluster{ClusterID: clusterID, TotalGroups: totalGroups}
	if err := c.check(); err != nil {
		return err
	}
	id := d.self.String()
	err := d.raft().BootstrapCluster(raft.Configuration{Servers: []raft.Server{
		{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id)},
	}}).Error()
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		return fmt.Errorf("bootstrap the meta group: %w", err)
	}
	d.campaignIfAlone()
	if _, err := d.Apply(ctx, c); err != nil {
		return fmt.Errorf("bootstrap the cluster: %w", err)
	}
	return nil
}

// Join makes this node a member of the cluster's meta group, first without a
// vote; the leader gives it one by itself. peers names nodes to ask (gossip
// knows them) and is called before each round. Join waits as long as ctx
// lives and returns when this node's own table shows the cluster. For a node
// that is a member already it returns at once.
func (d *Directory) Join(ctx context.Context, clusterID string, peers func() []membership.NodeID) error {
	q := request{op: opJoin, body: joinBody{clusterID, d.self}.encode()}
	last := error(ErrNoLeader)
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		if d.isMember() {
			return d.awaitCluster(ctx, clusterID, q)
		}
		for _, peer := range peers() {
			if peer == d.cfg.Self {
				continue
			}
			p := d.askVia(ctx, peer, q)
			if p.code == codeOK {
				break // membership arrives with the log
			}
			if err := p.err(); errors.Is(err, ErrForeign) || errors.Is(err, ErrReplaced) {
				return fmt.Errorf("join: %w", err)
			}
			last = fmt.Errorf("%w: %s: %s", ErrNoLeader, peer, p.text)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("join: %w (%w)", last, ctx.Err())
		case <-d.stopped:
			return ErrClosed
		}
	}
}

// isMember reports whether this node's log has a configuration that names it.
func (d *Directory) isMember() bool {
	f := d.raft().GetConfiguration()
	if f.Error() != nil {
		return false
	}
	for _, s := range f.Configuration().Servers {
		if string(s.ID) == d.self.String() {
			return true
		}
	}
	return false
}

// stillMember is how often a member whose table stays empty asks whether it is
// one: an incarnation that was replaced meanwhile hears of no leader.
const stillMember = 2 * time.Second

func (d *Directory) awaitCluster(ctx context.Context, clusterID string, q request) error {
	ask := time.NewTicker(stillMember)
	defer ask.Stop()
	for {
		t := d.Table()
		if t.Replaced(d.cfg.Self) {
			return fmt.Errorf("join: node %s: %w", d.cfg.Self, ErrReplaced)
		}
		switch t.ClusterID {
		case clusterID:
			return nil
		case "":
		default:
			return fmt.Errorf("join cluster %s: %w: this node's meta group is of %s", clusterID, ErrForeign, t.ClusterID)
		}
		select {
		case <-t.Changed():
		case <-ask.C:
			if d.IsLeader() {
				continue
			}
			if err := d.askAround(ctx, q).err(); errors.Is(err, ErrForeign) || errors.Is(err, ErrReplaced) {
				return fmt.Errorf("join: %w", err)
			}
		case <-ctx.Done():
			return fmt.Errorf("join: wait for the table: %w", ctx.Err())
		case <-d.stopped:
			return ErrClosed
		}
	}
}

// admit adds a server without a vote. Only the leader does.
func (d *Directory) admit(ctx context.Context, j joinBody) reply {
	t := d.Table()
	switch {
	case !d.isReady() || t.ClusterID == "":
		return reply{code: codeNotApplied, text: "the leader has not applied its log yet"}
	case j.clusterID != t.ClusterID:
		return reply{code: codeForeign, text: fmt.Sprintf("node %s is of cluster %q, this is %s", j.server, j.clusterID, t.ClusterID)}
	case j.server.Validate() != nil:
		return reply{code: codeInvalid, text: fmt.Sprintf("server id %q", j.server)}
	case t.Replaced(j.server.NodeID):
		return reply{code: codeReplaced, text: fmt.Sprintf("node %s: %v", j.server.NodeID, ErrReplaced)}
	}
	members, err := d.members()
	if err != nil {
		return reply{code: codeNotApplied, text: err.Error()}
	}
	for _, m := range members {
		if m.ID == j.server {
			return reply{code: codeOK, index: t.Index}
		}
	}
	id := j.server.String()
	if t.configIndex == unknownIndex {
		return reply{code: codeNotApplied, text: "the index of the configuration is not known yet"}
	}
	in := d.raft()
	f := in.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), t.configIndex, configTimeout)
	if err := d.await(ctx, in, f); err != nil {
		return d.failed(err)
	}
	d.logger.Info("a node joined the meta group", "server", j.server)
	d.sendNudge()
	return reply{code: codeOK, index: t.Index}
}

// RegisterNode commits this node's own row: at its first start, after a change
// of addresses, and when it may be given replicas. It is done when this node's
// table shows it. A row that is the same already costs one command and changes
// nothing.
func (d *Directory) RegisterNode(ctx context.Context, n membership.Node) error {
	if _, err := d.Apply(ctx, RegisterNode{ClusterID: d.Table().ClusterID, Node: n}); err != nil {
		return fmt.Errorf("register node %s: %w", n.NodeID, err)
	}
	return nil
}
