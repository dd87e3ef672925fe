package directory

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/flotilla-db/flotilla/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testCluster = "6f1a3b52-8f0c-4a58-9a54-0b9b86c6a3aa"

// network connects directories in one process: Raft by in-memory transports,
// requests by direct calls. A dead node answers nothing.
type network struct {
	t    *testing.T
	root string

	mu    sync.Mutex // guards the rest
	up    map[membership.NodeID]*member
	calls func(from, to membership.NodeID) error // a fault to inject, or nil
}

type member struct {
	*Directory
	id        membership.NodeID
	transport *raft.InmemTransport
	fatal     chan error
}

func newNetwork(t *testing.T) *network {
	n := &network{t: t, root: t.TempDir(), up: map[membership.NodeID]*member{}}
	t.Cleanup(n.stopAll)
	return n
}

type caller struct {
	n    *network
	from membership.NodeID
}

func (c caller) Call(ctx context.Context, to membership.NodeID, payload []byte) ([]byte, error) {
	c.n.mu.Lock()
	m, from, fault := c.n.up[to], c.n.up[c.from], c.n.calls
	c.n.mu.Unlock()
	if m == nil || from == nil {
		return nil, fmt.Errorf("%s: %w", to, ErrNotDelivered)
	}
	out, err := m.Serve(ctx, c.from, payload)
	if fault != nil {
		if e := fault(c.from, to); e != nil {
			return nil, e
		}
	}
	return out, err
}

func nodeID(i int) membership.NodeID {
	return membership.NodeID{Name: fmt.Sprintf("n%d", i), Incarnation: fmt.Sprintf("0000000%d", i)}
}

func (n *network) start(id membership.NodeID, change ...func(*Config)) *member {
	n.t.Helper()
	addr := raft.ServerAddress(id.Server(0).String())
	_, transport := raft.NewInmemTransportWithTimeout(addr, 500*time.Millisecond)
	m := &member{id: id, transport: transport, fatal: make(chan error, 1)}
	level := slog.LevelError + 1
	if testing.Verbose() && os.Getenv("FLOTILLA_TEST_LOG") != "" {
		level = slog.LevelInfo
	}
	cfg := Config{
		Dir: filepath.Join(n.root, id.String()), Self: id, Transport: transport, Caller: caller{n, id},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", id.Name),
		Fatal:  func(err error) { m.fatal <- err },
		Alive:  n.alive,
	}
	for _, f := range change {
		f(&cfg)
	}
	d, err := Open(cfg)
	if err != nil {
		n.t.Fatalf("start %s: %v", id, err)
	}
	m.Directory = d
	n.mu.Lock()
	for _, other := range n.up {
		other.transport.Connect(addr, transport)
		transport.Connect(raft.ServerAddress(other.id.Server(0).String()), other.transport)
	}
	n.up[id] = m
	n.mu.Unlock()
	return m
}

func (n *network) alive(id membership.NodeID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up[id] != nil
}

func (n *network) peers() []membership.NodeID {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []membership.NodeID
	for id := range n.up {
		out = append(out, id)
	}
	return out
}

func (n *network) setFault(f func(from, to membership.NodeID) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = f
}

// stop ends a node; the others cannot reach it from then on.
func (n *network) stop(m *member) {
	n.t.Helper()
	n.mu.Lock()
	delete(n.up, m.id)
	for _, other := range n.up {
		other.transport.Disconnect(raft.ServerAddress(m.id.Server(0).String()))
	}
	n.mu.Unlock()
	m.transport.DisconnectAll()
	if err := m.Close(); err != nil {
		n.t.Errorf("stop %s: %v", m.id, err)
	}
	select {
	case err := <-m.fatal:
		n.t.Errorf("%s ended itself: %v", m.id, err)
	default:
	}
}

func (n *network) stopAll() {
	n.t.Helper()
	for _, id := range n.peers() {
		n.stop(n.up[id])
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func row(id membership.NodeID) membership.Node {
	return membership.Node{NodeID: id, RPCAddr: "127.0.0.1:7" + id.Name, Version: "test", Placeable: true}
}

func (n *network) bootstrap(m *member, groups uint32) {
	n.t.Helper()
	ctx := within(n.t, time.Minute)
	must(n.t, m.Bootstrap(ctx, testCluster, groups))
	must(n.t, m.RegisterNode(ctx, row(m.id)))
}

func (n *network) join(m *member) {
	n.t.Helper()
	ctx := within(n.t, time.Minute)
	must(n.t, m.Join(ctx, testCluster, n.peers))
	must(n.t, m.RegisterNode(ctx, row(m.id)))
}

// cluster starts nodes 1..size.
func (n *network) cluster(size int, groups uint32) []*member {
	n.t.Helper()
	members := []*member{n.start(nodeID(1))}
	n.bootstrap(members[0], groups)
	for i := 2; i <= size; i++ {
		m := n.start(nodeID(i))
		n.join(m)
		members = append(members, m)
	}
	return members
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits in the virtual time of a bubble.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within two minutes: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// awaitVoters waits until every member's log has the configuration with so many
// voters: the leader's alone would be gone with it.
func awaitVoters(t *testing.T, members []*member, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d voters", want), func() bool {
		for _, m := range members {
			if voters, err := m.voters(); err != nil || len(voters) != want {
				return false
			}
		}
		return true
	})
}

func leaderOf(t *testing.T, members ...*member) *member {
	t.Helper()
	var leader *member
	eventually(t, "a leader that is ready", func() bool {
		for _, m := range members {
			if m.isReady() {
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}

// bubble runs a test in virtual time. A cluster of the bubble ends in it.
func bubble(t *testing.T, f func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newNetwork(t)) })
}

func newTestTransport(id membership.NodeID) raft.Transport {
	_, transport := raft.NewInmemTransport(raft.ServerAddress(id.Server(0).String()))
	return transport
}
