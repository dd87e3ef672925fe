package clustertest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/gossip"
	"github.com/flotilla-db/flotilla/membership/gossip/gossiptest"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// The ports of every host.
const (
	rpcPort, httpPort, gossipPort = "7301", "7302", "7303"
	// clientHost is where the clients of Client sit.
	clientHost = "10.0.0.250"
	// timersEnd is when the timers have run out that memberlist and gRPC leave
	// behind, in virtual time: a bubble does not end before.
	timersEnd = time.Minute
)

// Cluster is a set of complete nodes on one Network. It belongs to one test and
// is used by its goroutine; nodes may be down, but are never forgotten.
type Cluster struct {
	t       testing.TB
	Network *Network
	log     *recentLines
	level   slog.Level
	root    string
	tune    func(i int, c *config.Config)
	hooks   func(i int) resync.Hooks     // of the resyncs of the i-th node, at its next start; nil: none
	options func(i int, o *node.Options) // changes those of the i-th node, at its next start; nil: nothing
	nodes   []*Member
	clients []*client.Client
}

// Member is one node of a Cluster, running or not.
type Member struct {
	Name, Host string
	Config     config.Config
	fatal      bool         // what the node reports as fatal is expected
	skew       atomic.Int64 // ns; of its wall clock

	mu   sync.Mutex
	node *node.Node // guarded by mu: nil while it is down
}

// Node is the running node, nil while it is down.
func (m *Member) Node() *node.Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.node
}

func (m *Member) set(n *node.Node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.node = n
}

// New makes a cluster without nodes, in a bubble of testing/synctest. tune may
// change the configuration of the i-th node before its first start.
func New(t testing.TB, tune func(i int, c *config.Config)) *Cluster {
	t.Helper()
	c := &Cluster{t: t, Network: NewNetwork(), log: &recentLines{}, level: slog.LevelInfo, root: dataDir(t), tune: tune}
	if os.Getenv("CLUSTER_LOG") == "debug" {
		c.level = slog.LevelDebug
	}
	t.Cleanup(c.close)
	return c
}

// StartNew starts a cluster of size nodes and waits until all are ready. The
// first one makes the cluster, the others join it.
func StartNew(t testing.TB, size int, tune func(i int, c *config.Config)) *Cluster {
	t.Helper()
	c := New(t, tune)
	for range size {
		c.Add()
	}
	c.AwaitReady()
	return c
}

// Add makes a node that knows all others as seeds, and starts it.
func (c *Cluster) Add() int {
	c.t.Helper()
	i := len(c.nodes)
	m := &Member{Name: fmt.Sprintf("n%d", i+1), Host: fmt.Sprintf("10.0.0.%d", i+1), Config: config.Defaults()}
	m.Config.Name, m.Config.DataDir = m.Name, filepath.Join(c.root, m.Name)
	m.Config.RPCAddr, m.Config.HTTPAddr = net.JoinHostPort(m.Host, rpcPort), net.JoinHostPort(m.Host, httpPort)
	m.Config.GossipAddr, m.Config.Coordinator.TotalGroups = net.JoinHostPort(m.Host, gossipPort), totalGroups
	for _, other := range c.nodes {
		m.Config.Join = append(m.Config.Join, other.Config.GossipAddr)
	}
	m.Config.Storage.AntiEntropy.Enabled = false // its cuts are entries that tests of logs do not expect
	if c.tune != nil {
		c.tune(i, &m.Config)
	}
	c.nodes = append(c.nodes, m)
	c.Start(i)
	return i
}

// Start starts a node that is down; it does not wait until it is ready.
func (c *Cluster) Start(i int) {
	c.t.Helper()
	if err := c.tryStart(i); err != nil {
		c.t.Fatalf("start %s: %v", c.nodes[i].Name, err)
	}
}

func (c *Cluster) tryStart(i int) error {
	m := c.nodes[i]
	c.Network.Revive(m.Host)
	var hooks resync.Hooks
	if c.hooks != nil {
		hooks = c.hooks(i)
	}
	o := node.Options{
		SyncHooks: hooks, ObserveSnapshot: func(group uint32) { c.snapshotCrossed(m, group) },
		Logger: slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: c.level})),
		Now:    m.now,
		Out:    io.Discard, Listen: c.Network.Listen, Dial: c.Network.Dialer(m.Host, raftmux.ErrRefused),
		Gossip: func(g *gossip.Config) { err := c.gossip(m, g); _ = err },
	}
	if c.options != nil {
		c.options(i, &o)
	}
	n, err := node.Start(m.Config, o)
	if err != nil {
		return err
	}
	m.set(n)
	return nil
}

// snapshotCrossed fails the test: data of a group that is not the meta group
// are never carried by Raft.
func (c *Cluster) snapshotCrossed(m *Member, group uint32) {
	if group != membership.MetaGroup {
		c.t.Errorf("an InstallSnapshot of group %d crossed the wire, seen on %s", group, m.Name)
	}
}

// gossip gives a node its place in the gossip's network.
func (c *Cluster) gossip(m *Member, g *gossip.Config) error {
	l, err := c.Network.Listen(m.Config.GossipAddr)
	if err != nil {
		return err
	}
	t := gossiptest.New(wire{c.Network, c.Network.Dialer(m.Host, raftmux.ErrRefused)}, l)
	c.Network.Receive(m.Config.GossipAddr, func(from string, b []byte) { t.Deliver(address(from), b) })
	g.Transport = t
	return nil
}

// wire is what one node's gossip sends over.
type wire struct {
	*Network
	dial func(context.Context, string) (net.Conn, error)
}

func (w wire) Dial(ctx context.Context, addr string) (net.Conn, error) { return w.dial(ctx, addr) }

// Stop takes nodes down gracefully, one after the other.
func (c *Cluster) Stop(nodes ...int) {
	c.t.Helper()
	for _, i := range nodes {
		m := c.nodes[i]
		n := m.Node()
		m.set(nil)
		if err := n.Close(); err != nil {
			c.t.Errorf("stop %s: %v", m.Name, err)
		}
		c.failed(m, n)
	}
}

// Crash takes nodes down as kill -9 does, all at the same moment: their sockets
// close, and nothing more reaches their disks but what Raft was about to write.
func (c *Cluster) Crash(nodes ...int) {
	c.t.Helper()
	for _, i := range nodes {
		c.Network.Kill(c.nodes[i].Host)
	}
	var wg sync.WaitGroup
	for _, i := range nodes {
		m := c.nodes[i]
		n := m.Node()
		m.set(nil)
		wg.Go(func() {
			if err := n.Kill(); err != nil { // sockets were closed before their servers, as they should be
				fmt.Fprintf(c.log, "crash of %s: %v\n", m.Name, err)
			}
			c.failed(m, n)
		})
	}
	wg.Wait()
}

// failed reports what a node held for fatal.
func (c *Cluster) failed(m *Member, n *node.Node) {
	c.t.Helper()
	select {
	case err := <-n.Failed():
		if !m.fatal {
			c.t.Errorf("%s had to stop: %v", m.Name, err)
		}
	default:
	}
}

// Client talks to some nodes (none: to all) from a host of its own. It makes
// one attempt a call, and asks nobody else: what a client sees is what one of
// these nodes said.
func (c *Cluster) Client(nodes ...int) *client.Client {
	c.t.Helper()
	if len(nodes) == 0 {
		for i := range c.nodes {
			nodes = append(nodes, i)
		}
	}
	o := client.Options{RetryFor: -1, NoRetryUnknown: true, OnlyAddrs: true, Connect: c.Network.Dialer(clientHost, raftmux.ErrRefused)}
	for _, i := range nodes {
		o.Addrs = append(o.Addrs, c.nodes[i].Config.RPCAddr)
	}
	k, err := client.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.clients = append(c.clients, k)
	return k
}

// closeClients ends the connections of every Client.
func (c *Cluster) closeClients() {
	for _, k := range c.clients {
		_ = k.Close()
	}
	c.clients = nil
}

// close ends everything; a node that was stopped by the test is down already.
func (c *Cluster) close() {
	c.closeClients()
	for i, m := range c.nodes {
		if m.Node() != nil {
			c.Crash(i)
		}
	}
	time.Sleep(timersEnd)
	if c.t.Failed() {
		c.t.Logf("the last lines of the nodes' logs:\n%s", c.log)
	}
}

// Dial connects the clients' host to an address, for net/http.
func (c *Cluster) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	return c.Network.Dialer(clientHost, raftmux.ErrRefused)(ctx, addr)
}
