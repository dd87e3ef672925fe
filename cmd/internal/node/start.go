package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/checking"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/membership/gossip"
	"github.com/flotilla-db/flotilla/membership/placement"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/raftgroup/reconcile"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

const (
	// leaveTimeout bounds the farewell to the other nodes.
	leaveTimeout = 500 * time.Millisecond
	// metaHandOver bounds the wait for another leader of the meta group.
	metaHandOver = time.Second
)

// alive is what gossip and the streams say of a node together: the streams see
// first that one is dead, gossip that a new one is there.
func (n *Node) alive(id membership.NodeID) bool {
	if n.liveness.Up(id) {
		return true
	}
	if state, _ := n.liveness.Seen(id); state == membership.NodeDown {
		return false
	}
	return n.gossipOn.Load() && n.gossip.Alive(id)
}

func (n *Node) gossipMember(id membership.NodeID) (gossip.Member, bool) {
	if !n.gossipOn.Load() {
		return gossip.Member{}, false
	}
	return n.gossip.Member(id)
}

// policy gives the meta leader the settings that its decisions need.
func (n *Node) policy(t *directory.Table) directory.Policy {
	c := n.configAt(t)
	return directory.Policy{
		Factor: c.Replication.Factor, AutoAssigner: c.Coordinator.AutoAssigner.Enabled,
		Poll:      c.Coordinator.AutoAssigner.PollInterval,
		Placement: placement.Options{HashThreshold: c.Coordinator.HashThreshold, Vnodes: c.Coordinator.VnodeCount},
	}
}

func (n *Node) startGossip() error {
	c := gossip.Config{
		Self: n.id, BindAddr: n.cfg.GossipAddr, Advertise: n.cfg.Advertise, Label: n.cfg.Cluster, Key: n.cfg.ClusterKey,
		Seeds: n.cfg.Join, Promised: n.identity.promised(), Promise: n.identity.promise,
		Peers: n.knownGossipAddrs, OnChange: n.dir.Poke, OnForeign: n.foreignSeed, OnTwin: n.twin, Logger: n.log,
		Meta: gossip.Meta{
			ClusterID: n.identity.get().ClusterID, Expect: uint32(n.cfg.BootstrapExpect), Zone: n.cfg.Zone,
			RPCAddr: n.addrs.rpc, HTTPAddr: n.addrs.http, Version: n.version,
		},
	}
	if n.opts.Gossip != nil {
		n.opts.Gossip(&c)
	}
	g, err := gossip.Start(c)
	if err != nil {
		return fmt.Errorf("%w (hint: --gossip-addr HOST:PORT takes another address)", err)
	}
	n.gossip = g
	n.gossipOn.Store(true)
	n.addrs.gossip = g.Addr()
	n.stages.add("gossip", func(context.Context) error {
		n.gossipOn.Store(false)
		if n.killed.Load() {
			return g.Close()
		}
		// Nobody may be left to hear it: the others find out by themselves.
		if err := g.Leave(leaveTimeout); err != nil {
			n.log.Debug("the farewell was not heard", "err", err)
		}
		return g.Close()
	})
	return nil
}

func (n *Node) openGateway() (err error) {
	n.clock = &clockWatch{
		comparing: make(chan struct{}, 1),
		limit:     n.cfg.MaxClockOffset, now: n.now, peers: n.otherNodes, log: n.log,
		ask: func(ctx context.Context, peer membership.NodeID) ([]byte, error) {
			return n.mux.Call(ctx, peer, methodClock, nil)
		},
	}
	n.disk = &diskWatch{
		free:    func() (int64, error) { return diskFree(n.cfg.DataDir) },
		reserve: n.cfg.Storage.DiskReserve, changed: n.diskChanged, pressed: n.handOver, fatal: n.fatal, log: n.log,
	}
	n.ready = newReadiness(n)
	n.syncs = n.newSyncs()
	n.hosts.syncs = n.syncs
	n.syncs.Answer(n.mux.Handle)
	n.gateway, err = gateway.New(gateway.Config{
		Self: n.id, Directory: n.tables, Databases: databasesAdapter{n.dir}, Collections: databasesAdapter{n.dir},
		Host: n.hosts, Peers: peersAdapter{n.mux}, Liveness: n.liveness, Resyncs: n.syncs, Drills: drills{n}, Examiner: newExaminer(n), Scrubbed: func() gateway.Scrubbed { return n.checks.Scrub.Counts() }, Background: n.background,
		WriteTimeout: n.cfg.WriteTimeout, AutoCreate: func() bool { return n.policyConfig().AutoCreate },
		Now: n.stamp, ClockOffset: n.clock.Offset, JobsPath: filepath.Join(n.cfg.DataDir, jobsFile), Version: n.version, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.stages.add("gateway", func(context.Context) error { return n.gateway.Close() })
	n.checks = checking.New(checking.Config{
		DataDir: n.cfg.DataDir, Settings: func() config.AntiEntropy { return n.policyConfig().Storage.AntiEntropy },
		Groups: n.hosts.groups, Group: n.hosts.group, Log: n.engine, Votes: n.votes, Checks: n.gateway, Logger: n.log,
	})
	n.hosts.scrubbed = n.checks.Scrub.Last
	return nil
}

// startLoops begins everything that runs by itself. A node that cannot become a
// member for good fails.
func (n *Node) startLoops() error {
	n.mux.OnPeer(n.peerEvent)
	n.stages.loop("errands", n.errands.run)
	n.stages.loop("witnesses", n.witnesses.run)
	n.stages.loop("disk watch", n.disk.run)
	n.stages.loop("failover", func(ctx context.Context) { _ = n.failover.Run(ctx) })
	n.stages.loop("readiness", n.ready.run)
	n.stages.loop("neighbours", (&neighbours{node: n}).run)
	n.stages.loop("meta election", (&metaElection{node: n}).run)
	n.stages.loop("membership", func(ctx context.Context) {
		if err := n.becomeMember(ctx); err != nil {
			if ctx.Err() == nil {
				n.fatal(err)
			}
			return
		}
		n.memberSince.Store(time.Now().UnixNano())
		n.member.Store(true)
		n.memberLoops()
		<-ctx.Done()
	})
	return nil
}

// memberLoops are those of a node that is part of a cluster.
func (n *Node) memberLoops() {
	loop := reconcile.New(n.hosts.host.Load(), tableAssignments{n.dir}, reconcile.Remote{Call: n.reconcileCall}, n.syncs, n.log)
	n.hosts.reconcile.Store(loop)
	n.stages.add("resync answers", func(context.Context) error { return n.syncs.Close() })
	n.stages.loop("holdings", n.holdGroups)
	n.stages.loop("resyncs", n.syncs.Run)
	n.stages.loop("removal", (&removal{node: n}).run)
	n.stages.loop("reconcile", func(ctx context.Context) { _ = loop.Run(ctx) })
	n.stages.loop("primaries", newPrimaries(n).run)
	n.stages.loop("retention", (&retention{node: n, done: make(map[retentionKey]int64)}).run)
	n.stages.loop("clock watch", n.clock.run)
	n.proving()
}

// peerEvent starts failover, and ends it.
func (n *Node) peerEvent(peer membership.NodeID, event raftmux.PeerEvent) {
	n.noteLife(peer, event)
	switch event {
	case raftmux.PeerDown:
		n.failover.Suspect(peer)
		n.errands.send(func(ctx context.Context) { n.metaFailover(ctx, peer) })
	case raftmux.PeerSilent:
		n.failover.Suspect(peer)
	case raftmux.PeerBack:
		n.failover.Trust(peer)
		if loop := n.hosts.reconcile.Load(); loop != nil {
			loop.PeerBack(peer)
		}
	}
	n.dir.Poke()
}

// groupChanged is told by the host that a group's leader or state changed.
func (n *Node) groupChanged(group uint32) {
	if g, ok := n.hosts.host.Load().Group(group); ok && n.log.Enabled(context.Background(), slog.LevelDebug) {
		leader, _ := g.Leader()
		n.log.Debug("group changed", "group", group, "leader", leader, "term", g.Status().Term)
	}
	if loop := n.hosts.reconcile.Load(); loop != nil {
		loop.Poke()
	}
}

// diskChanged makes the groups refuse data, or take it again.
func (n *Node) diskChanged(full bool) {
	if host := n.hosts.host.Load(); host != nil {
		host.SetNoSpace(full)
	}
}

// handOver gives the leaderships away that others can take: again and again
// while there is no room for data, since some are too far behind at first.
func (n *Node) handOver() {
	host := n.hosts.host.Load()
	if host == nil {
		return
	}
	host.SetNoSpace(true) // the disk may have been full before there was a host
	if !n.handingOver.CompareAndSwap(false, true) {
		return
	}
	sent := n.errands.send(func(ctx context.Context) {
		defer n.handingOver.Store(false)
		host.HandOver(ctx)
	})
	if !sent {
		n.handingOver.Store(false)
	}
}

// enoughReplicas refuses writes of a group with fewer live voters than
// replication.min_replicas_for_write.
func (n *Node) enoughReplicas(g *raftgroup.Group) error {
	least := n.policyConfig().Replication.MinReplicasForWrite
	if least <= 1 {
		return nil
	}
	members, _, err := g.Members()
	if err != nil { // of a group that was just born, or is closing: nothing was proposed
		return fmt.Errorf("%w: %w", raftgroup.ErrNotApplied, err)
	}
	if live := liveVoters(members, n.liveness.Up); live < least {
		return fmt.Errorf("group %d has %d live replicas, %d are asked for: %w", g.ID(), live, least, raftgroup.ErrNotApplied)
	}
	return nil
}

func liveVoters(members []raftgroup.Member, up func(membership.NodeID) bool) int {
	live := 0
	for _, m := range members {
		if m.Voter && up(m.ID.NodeID) {
			live++
		}
	}
	return live
}

func (n *Node) otherNodes() []membership.NodeID {
	var others []membership.NodeID
	for _, row := range n.dir.Table().Nodes {
		if row.NodeID != n.id {
			others = append(others, row.NodeID)
		}
	}
	return others
}

// boltGroups lists the groups that have a raft.db.
func (n *Node) boltGroups() ([]uint32, error) {
	entries, err := os.ReadDir(filepath.Join(n.cfg.DataDir, "groups"))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var groups []uint32
	for _, e := range entries {
		id, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil {
			continue
		}
		if _, err := os.Stat(n.boltPath(uint32(id))); err == nil {
			groups = append(groups, uint32(id))
		}
	}
	return groups, nil
}

// advertised is the address that others are told for a bound one.
func (n *Node) advertised(l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil || n.cfg.Advertise == "" {
		return l.Addr().String()
	}
	return net.JoinHostPort(n.cfg.Advertise, port)
}
