package fakecluster

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/server"
)

// TotalGroups of every fake cluster.
const TotalGroups = 16

// Options of New.
type Options struct {
	Nodes        int                            // default 3
	Unassigned   bool                           // groups are born by their first write; else all exist
	WriteTimeout time.Duration                  // default 2 s
	AutoCreate   *bool                          // default true
	JobsDir      string                         // default: in memory
	Now          func() (time.Time, error)      // default the clock
	Configure    func(n int, c *gateway.Config) // last word on a node's gateway
}

// Cluster is some nodes in one process.
type Cluster struct {
	Nodes []*Node

	// mu guards what follows. Assignments and databases are copied on write.
	mu        sync.Mutex
	table     *gateway.Table
	logs      map[uint32]*groupLog
	down      map[string]bool
	onPropose func(node string, group uint32) error
	onCall    func(from, to string, method gateway.Method) (before, after error)
	onOperate func(node string, group uint32) error
	born      []uint32

	onStatus   func(node string, group uint32, s *gateway.ReplicaStatus)
	onTrimPlan func(node string, group uint32, plan gateway.TrimPlan) (gateway.TrimPlan, error)
	metaDown   bool
	dir        string
	tb         testing.TB
}

// New starts a cluster that ends with the test.
func New(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 2 * time.Second
	}
	c := &Cluster{tb: tb, dir: tb.TempDir(), logs: map[uint32]*groupLog{}, down: map[string]bool{}, table: &gateway.Table{
		Index: 1, ClusterID: "00000000-0000-4000-8000-000000000000", ClusterName: "flotilla", TotalGroups: TotalGroups, MetaLeader: "n1",
		Nodes: map[string]membership.Node{}, Assignments: map[uint32]membership.Assignment{},
		Databases: map[string]membership.Database{"d": {Name: "d", CreatedAt: time.Unix(1, 0)}},
	}}
	for i := range o.Nodes {
		id := membership.NodeID{Name: fmt.Sprintf("n%d", i+1), Incarnation: fmt.Sprintf("%08x", i+1)}
		c.table.Nodes[id.Name] = membership.Node{NodeID: id, State: membership.NodeUp, Placeable: true, Version: "test", StartedAt: time.Unix(1, 0)}
		c.Nodes = append(c.Nodes, &Node{Name: id.Name, id: id, c: c, listener: bufconn.Listen(1 << 20), conns: map[string]*grpc.ClientConn{}})
	}
	if !o.Unassigned {
		for group := range uint32(TotalGroups) {
			c.birth(group)
		}
	}
	for i, n := range c.Nodes {
		n.start(i, o)
	}
	tb.Cleanup(c.Close)
	return c
}

// Close ends all nodes.
func (c *Cluster) Close() {
	for _, n := range c.Nodes {
		n.close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.logs {
		l.close()
	}
	clear(c.logs)
}

// birth assigns a group to all nodes, the leader by turns. mu is held or the
// cluster is not shared yet.
func (c *Cluster) birth(group uint32) {
	a := membership.Assignment{Group: group, State: membership.GroupActive, Epoch: 1, UpdatedAt: time.Unix(1, 0)}
	for i, n := range c.Nodes {
		if i == int(group)%len(c.Nodes) {
			a.Primary = n.Name
		} else {
			a.Replicas = append(a.Replicas, n.Name)
		}
	}
	c.logs[group] = newGroupLog(c.tb, group, a.Primary, a.Nodes(), filepath.Join(c.dir, fmt.Sprint(group)))
	c.table.Assignments[group] = a
}

// SetLeader makes a node the leader of a group; "" leaves it without one.
func (c *Cluster) SetLeader(group uint32, node string) {
	c.log(group).setLeader(node)
}

// Leader of a group.
func (c *Cluster) Leader(group uint32) string { return c.log(group).leaderName() }

// SetDown takes a node off the network, or back.
func (c *Cluster) SetDown(node string, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down[node] = down
}

// SetMetaDown makes the meta group answer nothing.
func (c *Cluster) SetMetaDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metaDown = down
}

// OnPropose sets what a leader answers instead of applying; nil applies.
func (c *Cluster) OnPropose(f func(node string, group uint32) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onPropose = f
}

// OnOperate sets how a cut, a trim or a hand-over fails on a node; nil: it does not.
func (c *Cluster) OnOperate(f func(node string, group uint32) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onOperate = f
}

// OnStatus sets what replicas change in what they say of themselves.
func (c *Cluster) OnStatus(f func(node string, group uint32, s *gateway.ReplicaStatus)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onStatus = f
}

// SetStuck keeps what is committed from a replica from now on.
func (c *Cluster) SetStuck(group uint32, node string) {
	l := c.log(group)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck[node] = true
}

// SetLineage has a replica say that its root is of another lineage of the group.
func (c *Cluster) SetLineage(group uint32, node, lineage string) {
	l := c.log(group)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.says[node] = lineage
}

// OnTrimPlan sets what replicas tell of their logs.
func (c *Cluster) OnTrimPlan(f func(node string, group uint32, plan gateway.TrimPlan) (gateway.TrimPlan, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onTrimPlan = f
}

// OnCall sets how calls fail: before they are delivered, or after.
func (c *Cluster) OnCall(f func(from, to string, method gateway.Method) (before, after error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onCall = f
}

// Born lists the groups that EnsureGroups made, in order.
func (c *Cluster) Born() []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]uint32(nil), c.born...)
}

// Proposals counts what was proposed to a group.
func (c *Cluster) Proposals(group uint32) int { return c.log(group).proposals() }

func (c *Cluster) log(group uint32) *groupLog {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logs[group]
}

func (c *Cluster) isDown(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down[node]
}

// copied gives a table that may be changed. mu is held.
func (c *Cluster) copied() *gateway.Table {
	t := *c.table
	t.Index++
	t.Assignments, t.Databases = map[uint32]membership.Assignment{}, map[string]membership.Database{}
	for k, v := range c.table.Assignments {
		t.Assignments[k] = v
	}
	for k, v := range c.table.Databases {
		t.Databases[k] = v
	}
	return &t
}

// Node is one node with its gateway and gRPC server.
type Node struct {
	Name     string
	Gateway  *gateway.Gateway
	Server   *server.Server
	id       membership.NodeID
	c        *Cluster
	listener *bufconn.Listener
	grpc     *grpc.Server
	serving  sync.WaitGroup
	once     sync.Once

	mu    sync.Mutex
	conns map[string]*grpc.ClientConn // guarded by mu
}

func (n *Node) start(i int, o Options) {
	cfg := gateway.Config{Self: n.id, Directory: n, Databases: n, Collections: n, Host: n, Peers: n, Liveness: n, Examiner: examiner{n}, WriteTimeout: o.WriteTimeout, Now: o.Now, Version: "test"}
	if o.AutoCreate != nil {
		cfg.AutoCreate = func() bool { return *o.AutoCreate }
	}
	if o.JobsDir != "" {
		cfg.JobsPath = filepath.Join(o.JobsDir, n.Name+".jobs")
	}
	if o.Configure != nil {
		o.Configure(i, &cfg)
	}
	var err error
	if n.Gateway, err = gateway.New(cfg); err != nil {
		n.c.tb.Fatal(err)
	}
	n.Server = server.New(n.Gateway, api.Version{Version: "test"}, nil)
	n.Server.SetReady(true)
	n.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(server.MaxMessageBytes))
	n.Server.Register(n.grpc)
	n.serving.Go(func() { _ = n.grpc.Serve(n.listener) })
}

// Dial opens a connection to the node, as grpc.WithContextDialer wants it.
func (n *Node) Dial(ctx context.Context, _ string) (net.Conn, error) {
	if n.c.isDown(n.Name) {
		return nil, fmt.Errorf("node %s is down", n.Name)
	}
	return n.listener.DialContext(ctx)
}

// StopGRPC ends the node's gRPC server as a crash would.
func (n *Node) StopGRPC() { n.grpc.Stop() }

func (n *Node) close() {
	n.once.Do(func() {
		n.mu.Lock()
		for _, cc := range n.conns {
			_ = cc.Close()
		}
		n.mu.Unlock()
		n.Server.Shutdown()
		n.grpc.Stop()
		n.serving.Wait()
		_ = n.listener.Close()
		if err := n.Gateway.Close(); err != nil {
			n.c.tb.Errorf("close gateway of %s: %v", n.Name, err)
		}
	})
}

func (n *Node) conn(to *Node) (*grpc.ClientConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cc, ok := n.conns[to.Name]; ok {
		return cc, nil
	}
	cc, err := grpc.NewClient("passthrough:///"+to.Name, grpc.WithContextDialer(to.Dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		n.conns[to.Name] = cc
	}
	return cc, err
}

// ID is the node's id.
func (n *Node) ID() membership.NodeID { return n.id }

// Unassign takes a node's place in a group away; its shard stays.
func (c *Cluster) Unassign(group uint32, node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.copied()
	a := t.Assignments[group]
	a.Replicas = slices.DeleteFunc(slices.Clone(a.Replicas), func(n string) bool { return n == node })
	if a.Primary == node {
		a.Primary, a.Replicas = a.Replicas[0], a.Replicas[1:]
	}
	t.Assignments[group] = a
	c.table = t
}
