package raftmux

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/flotilla-db/flotilla/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testCluster = "7c1f0e8e-0000-4000-8000-000000000001"
const testLineage = "11111111-2222-4333-8444-555555555555"

// network is a set of in-memory listeners whose connections can be cut.
type network struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	conns     map[*cuttable]string // "from to"
	cuts      map[string]bool
	dials     map[string]int // by "from to"
}

func newNetwork() *network {
	return &network{listeners: map[string]*bufconn.Listener{}, conns: map[*cuttable]string{}, cuts: map[string]bool{}, dials: map[string]int{}}
}

// cuttable is a connection whose bytes stop when it is cut: nothing is lost
// and no error is seen, as with dropped packets.
type cuttable struct {
	net.Conn
	net    *network
	pair   string
	mu     sync.Mutex
	gate   chan struct{} // closed: open
	closed chan struct{}
	once   sync.Once
}

func (c *cuttable) pass() error {
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	select {
	case <-gate:
		return nil
	case <-c.closed:
		return net.ErrClosed
	}
}

func (c *cuttable) Write(b []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *cuttable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if perr := c.pass(); perr != nil {
		return 0, perr
	}
	return n, err
}

func (c *cuttable) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.net.mu.Lock()
		delete(c.net.conns, c)
		c.net.mu.Unlock()
	})
	return c.Conn.Close()
}

func (n *network) listen(addr string) *bufconn.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := bufconn.Listen(256 << 10)
	n.listeners[addr] = l
	return l
}

func (n *network) shut(addr string) {
	n.mu.Lock()
	l := n.listeners[addr]
	delete(n.listeners, addr)
	n.mu.Unlock()
	if l != nil {
		l.Close()
	}
}

func (n *network) dial(ctx context.Context, from, to string) (net.Conn, error) {
	pair := from + " " + to
	n.mu.Lock()
	n.dials[pair]++
	l, cut := n.listeners[to], n.cuts[pair]
	n.mu.Unlock()
	if cut {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if l == nil {
		return nil, fmt.Errorf("dial %s: %w", to, ErrRefused)
	}
	conn, err := l.DialContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to, ErrRefused)
	}
	gate := make(chan struct{})
	close(gate)
	c := &cuttable{Conn: conn, net: n, pair: pair, gate: gate, closed: make(chan struct{})}
	n.mu.Lock()
	n.conns[c] = pair
	n.mu.Unlock()
	return c, nil
}

// cut stops all bytes between two addresses, both ways; heal lets them flow.
func (n *network) cut(a, b string)  { n.set(a, b, true) }
func (n *network) heal(a, b string) { n.set(a, b, false) }

func (n *network) set(a, b string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, pair := range []string{a + " " + b, b + " " + a} {
		n.cuts[pair] = cut
		for c, p := range n.conns {
			if p != pair {
				continue
			}
			c.mu.Lock()
			if cut {
				c.gate = make(chan struct{})
			} else {
				select {
				case <-c.gate:
				default:
					close(c.gate)
				}
			}
			c.mu.Unlock()
		}
	}
}

// node is a Mux with its gRPC server.
type node struct {
	*Mux
	id     membership.NodeID
	server *grpc.Server
	net    *network
	served sync.WaitGroup
}

func nodeID(name string) membership.NodeID {
	return membership.NodeID{Name: name, Incarnation: "0a1b2c3d"}
}

// start makes a node; change edits its config.
func (n *network) start(t testing.TB, name string, change ...func(*Config)) *node {
	t.Helper()
	config := Config{
		Local:     nodeID(name),
		ClusterID: func() string { return testCluster },
		Resolve:   func(id membership.NodeID) (string, bool) { return id.Name, true },
		Dial:      func(ctx context.Context, addr string) (net.Conn, error) { return n.dial(ctx, name, addr) },
	}
	for _, c := range change {
		c(&config)
	}
	mux, err := New(config)
	if err != nil {
		t.Fatalf("new mux: %v", err)
	}
	nd := &node{Mux: mux, id: config.Local, net: n}
	nd.serve(name)
	return nd
}

func (nd *node) serve(addr string) {
	nd.server = grpc.NewServer(ServerOptions()...)
	nd.Register(nd.server)
	l := nd.net.listen(addr)
	server := nd.server
	nd.served.Go(func() { server.Serve(l) })
}

// kill ends the node as kill -9 would look to the others.
func (nd *node) kill() {
	nd.net.shut(nd.id.Name)
	nd.server.Stop()
	nd.Mux.Close()
	nd.served.Wait()
}

// cluster starts nodes n1..n<count>, connected to each other, and ends them.
func cluster(t testing.TB, count int, change ...func(*Config)) (*network, []*node) {
	t.Helper()
	n := newNetwork()
	var nodes []*node
	for i := range count {
		nodes = append(nodes, n.start(t, fmt.Sprintf("n%d", i+1), change...))
	}
	for _, a := range nodes {
		for _, b := range nodes {
			a.Connect(b.id)
		}
	}
	return n, nodes
}

func closeAll(nodes []*node) {
	for _, nd := range nodes {
		nd.kill()
	}
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// wait polls a condition in virtual time.
func wait(t testing.TB, what string, limit time.Duration, holds func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !holds() {
		if time.Since(begin) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		<-time.After(time.Millisecond)
	}
	return time.Since(begin)
}

func connected(nodes ...*node) func() bool {
	return func() bool {
		for _, a := range nodes {
			for _, b := range nodes {
				if a != b && !a.Peer(b.id).Connected {
					return false
				}
			}
		}
		return true
	}
}
