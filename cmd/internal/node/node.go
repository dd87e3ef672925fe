package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/checking"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/cmd/internal/node/governor"
	"github.com/flotilla-db/flotilla/cmd/internal/node/syncing"
	"github.com/flotilla-db/flotilla/cmd/internal/version"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/membership/gossip"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/raftgroup/failover"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// StopLimit bounds a graceful stop, whatever the peers do.
const StopLimit = 14 * time.Second

// Options are what tests change; the zero value is a real node.
type Options struct {
	Build       version.Build
	Logger      *slog.Logger
	Out         io.Writer // banner and readiness; nil: nothing
	Listen      func(addr string) (net.Listener, error)
	Dial        func(ctx context.Context, addr string) (net.Conn, error)
	Now         func() time.Time     // the wall clock
	Gossip      func(*gossip.Config) // changes the gossip's config before it starts
	GroupTimers raftgroup.Timers     // zero: the defaults
	MetaTimers  directory.Timers     // zero: the defaults
	SyncHooks   resync.Hooks         // of the resyncs whose target is this node
	InstallStep func(group uint32, step string) error
	// ObserveSnapshot sees the group of every InstallSnapshot that is sent or received.
	ObserveSnapshot func(group uint32)
}

// Node is one running node.
type Node struct {
	cfg       config.Config
	opts      Options
	log       *slog.Logger
	version   string
	build     api.Version
	startedAt time.Time
	stages    *stages
	errands   *errands
	witnesses *witnesses

	identity *identityBook
	id       membership.NodeID
	addrs    addresses
	sockets  sockets

	engine   raftlog.Engine
	votes    *raftlog.Votes
	mux      *raftmux.Mux
	liveness peerLiveness
	gossip   *gossip.Gossip
	gossipOn atomic.Bool
	dir      *directory.Directory
	tables   *directoryAdapter
	hosts    *hostAdapter
	governor *governor.Governor
	gateway  *gateway.Gateway
	syncs    *syncing.Syncs
	checks   *checking.Parts
	failover *failover.Agent
	disk     *diskWatch
	clock    *clockWatch
	policies policyBook
	ready    *readiness
	member   atomic.Bool // membership is confirmed
	// memberSince is when that was, in Unix ns; 0: it has not been.
	memberSince atomic.Int64
	killed      atomic.Bool // Kill: no hand-over, no flush, no farewell

	handingOver atomic.Bool // leaderships are being given away, for want of room

	stopping atomic.Bool // Close has begun

	first   *firstStart // nil: the directory had an identity
	refused atomic.Bool // the start cannot be
	asked   atomic.Bool // others have been asked to take this node in

	fatalOnce sync.Once
	failed    chan error // holds the first fatal error
}

// addresses are what others reach this node at.
type addresses struct{ rpc, http, gossip string }

// Start brings a node up. It returns when the node serves, which is before it
// is ready. The caller waits for Failed and calls Close.
func Start(cfg config.Config, opts Options) (node *Node, err error) {
	n := &Node{
		cfg: cfg, opts: opts, log: opts.Logger, version: opts.Build.Version, startedAt: time.Now().UTC(),
		build:  api.Version{Version: opts.Build.Version, GoVersion: opts.Build.GoVersion, Platform: opts.Build.Platform, Revision: opts.Build.Revision},
		stages: &stages{log: opts.Logger}, errands: newErrands(), failed: make(chan error, 1),
	}
	defer func() {
		if err != nil {
			n.refused.Store(true)
			err = errors.Join(err, n.stages.close(context.Background()))
		}
	}()
	for _, step := range []func() error{
		n.listen, n.openDirectory, n.openVotes, n.openLogs, n.openMux, n.openMeta, n.startGossip, n.openGateway, n.serve, n.startLoops,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Failed yields the error after which the process must end: a disk that fails,
// an identity that was taken over.
func (n *Node) Failed() <-chan error { return n.failed }

func (n *Node) fatal(err error) {
	n.fatalOnce.Do(func() {
		if isFinal(err) {
			n.refused.Store(true)
		}
		n.failed <- err
	})
}

// Close hands leaderships over, flushes, and stops everything, within StopLimit.
func (n *Node) Close() error {
	n.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), StopLimit)
	defer cancel()
	return n.stages.close(ctx)
}

// Kill takes the node down as the end of its process would: nothing is handed
// over, flushed or said to the others, but the files are closed, so that
// another Start can open them. The caller has cut its network before.
func (n *Node) Kill() error {
	n.killed.Store(true)
	n.stopping.Store(true)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	return n.stages.close(gone)
}

func (n *Node) openDirectory() error {
	want := n.askedFor()
	examined := want
	if n.cfg.AdoptClone { // it has the original's name
		examined.name = ""
	}
	if err := examine(n.cfg.DataDir, examined); err != nil {
		return err
	}
	first := noteFirstStart(n.cfg.DataDir)
	lock, err := lockDir(n.cfg.DataDir)
	if err != nil {
		return err
	}
	n.first = first
	n.stages.add("lock", func(context.Context) error { return errors.Join(n.takeBack(), lock.Close()) })
	if n.cfg.AdoptClone {
		if err := adoptClone(n.cfg.DataDir, want); err != nil {
			return err
		}
	}
	id, err := openIdentity(n.cfg.DataDir, want, asked{name: n.cfg.Name, cluster: n.cfg.Cluster, engine: n.cfg.LogEngine})
	if err != nil {
		return err
	}
	if err := finishAdoption(n.cfg.DataDir, id); err != nil { // an earlier start was cut short
		return err
	}
	if id.Adopted != nil {
		id.Adopted.Cleaning = false
	}
	n.cfg.Name, n.cfg.Cluster, n.cfg.LogEngine = id.Name, id.Cluster, id.LogEngine
	n.identity = &identityBook{dir: n.cfg.DataDir, id: id}
	n.id = id.NodeID()
	n.log = n.log.With("node", n.id.Name)
	return nil
}

// askedFor is what the operator chose; defaults give way to the data directory.
func (n *Node) askedFor() asked {
	var a asked
	chosen := func(key string) bool { return n.cfg.Source(key) != config.SourceDefault }
	if chosen("name") {
		a.name = n.cfg.Name
	}
	if chosen("cluster") {
		a.cluster = n.cfg.Cluster
	}
	if chosen("log_engine") {
		a.engine = n.cfg.LogEngine
	}
	if chosen("coordinator.total_groups") {
		a.totalGroups = n.cfg.Coordinator.TotalGroups
	}
	if chosen("storage.window") {
		a.window = n.cfg.Storage.Window
	}
	return a
}

// openLogs opens the write-ahead log.
func (n *Node) openLogs() (err error) {
	corrupt := func(e *raftlog.CorruptError) {
		if host := n.hosts.host.Load(); host != nil {
			host.LogDamaged(e.Group, e)
		}
	}
	switch n.cfg.LogEngine {
	case config.LogEngineBoltDB:
		n.engine, err = raftlog.OpenBolt(n.boltPath, raftlog.BoltOptions{Groups: n.boltGroups, Fatal: n.fatal, OnCorrupt: corrupt, Logger: n.log})
	default:
		n.engine, err = raftlog.OpenShared(filepath.Join(n.cfg.DataDir, logDir), raftlog.SharedOptions{Fatal: n.fatal, OnCorrupt: corrupt, Logger: n.log})
	}
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	n.stages.add("log", func(context.Context) error { return n.engine.Close() })
	return nil
}

func (n *Node) groupDir(group uint32) string {
	return filepath.Join(n.cfg.DataDir, groupsDir, strconv.FormatUint(uint64(group), 10))
}

func (n *Node) boltPath(group uint32) string { return filepath.Join(n.groupDir(group), "raft.db") }

// openMux makes the streams to other nodes, and what is answered on them.
func (n *Node) openMux() (err error) {
	n.mux, err = raftmux.New(raftmux.Config{
		Local: n.id, ClusterID: func() string { return n.identity.get().ClusterID }, Resolve: n.resolve,
		Dial: n.opts.Dial, Key: n.cfg.ClusterKey, ObserveSnapshot: n.opts.ObserveSnapshot, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("open the streams: %w", err)
	}
	n.liveness = peerLiveness{self: n.id, mux: n.mux}
	n.governor = governor.New(n.writing)
	n.hosts = &hostAdapter{asked: n.governor.Foreground, diskFree: func() int64 { return n.disk.last.Load() }, quorum: n.enoughReplicas}
	n.failover = failover.New(n.id, ownGroups{n.hosts}, func(ctx context.Context, to membership.NodeID, m []byte) ([]byte, error) {
		return n.mux.Call(ctx, to, methodFailover, m, raftmux.Urgent)
	}, n.log)
	n.answer()
	n.stages.add("streams", func(context.Context) error { return n.mux.Close() })
	return nil
}

// openMeta opens this node's replica of the meta group.
func (n *Node) openMeta() (err error) {
	lineage := "meta" // the meta group has one history; the cluster id is checked by the streams
	n.dir, err = directory.Open(directory.Config{
		Dir: filepath.Join(n.cfg.DataDir, metaDir), Self: n.id,
		Transport: n.mux.Transport(membership.MetaGroup, lineage, n.id.Server(0)), Caller: directoryCaller{n.mux},
		Alive: n.alive, Policy: n.policy, Timers: n.opts.MetaTimers, Logger: n.log, Fatal: n.fatal,
		ExpectState: n.identity.get().Joined,
	})
	if errors.Is(err, directory.ErrStateLost) {
		return fmt.Errorf("%w (hint: move %s away: the node then starts as a new incarnation)", err, filepath.Join(n.cfg.DataDir, metaDir))
	}
	if err != nil {
		return fmt.Errorf("open the meta group: %w", err)
	}
	n.tables = &directoryAdapter{dir: n.dir, cluster: n.cfg.Cluster}
	n.stages.add("meta group", n.closeMeta)
	return nil
}

// closeMeta hands the meta group over, if another node can take it, and leaves it.
func (n *Node) closeMeta(ctx context.Context) error {
	if !n.killed.Load() && n.dir.IsLeader() && slices.ContainsFunc(n.otherNodes(), n.liveness.Up) {
		limited, cancel := context.WithTimeout(ctx, metaHandOver)
		defer cancel()
		if err := n.dir.StepDown(limited); err != nil {
			n.log.Debug("the meta group was not handed over", "err", err)
		}
	}
	return n.dir.Close()
}
