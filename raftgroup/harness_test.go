package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testNode is one node of a testCluster; host is nil while it is down.
type testNode struct {
	id     membership.NodeID
	dir    string
	engine raftlog.Engine
	votes  *raftlog.Votes
	host   *Host
}

// testCluster runs Hosts on one network.
type testCluster struct {
	t      testing.TB
	net    *testNet
	nodes  []*testNode
	births map[uint32]*membership.Birth
	tune   func(*HostConfig)
	bolt   bool  // the boltdb engine in place of the shared one
	memory int64 // bytes of log that the shared engine keeps in memory; 0: its default
}

func newTestCluster(t testing.TB, size int, tune func(*HostConfig)) *testCluster {
	t.Helper()
	return newTestClusterOn(t, size, false, tune)
}

func newTestClusterOn(t testing.TB, size int, bolt bool, tune func(*HostConfig)) *testCluster {
	t.Helper()
	return startTestCluster(&testCluster{t: t, bolt: bolt, tune: tune}, size)
}

func startTestCluster(c *testCluster, size int) *testCluster {
	t := c.t
	t.Helper()
	c.net, c.births = newTestNet(), make(map[uint32]*membership.Birth)
	root := t.TempDir()
	for i := range size {
		id := membership.NodeID{Name: "n" + strconv.Itoa(i+1), Incarnation: fmt.Sprintf("%08x", i+1)}
		n := &testNode{id: id, dir: filepath.Join(root, id.Name)}
		c.nodes = append(c.nodes, n)
		c.net.nodes[id] = n
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	t.Cleanup(c.close)
	return c
}

func (c *testCluster) start(n *testNode) {
	c.t.Helper()
	if err := c.startRefused(n); err != nil {
		c.t.Fatalf("start %s: %v", n.id.Name, err)
	}
}

// startRefused gives the error of the groups that could not be opened.
func (c *testCluster) startRefused(n *testNode) error {
	c.t.Helper()
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatalf("start %s: %v", n.id.Name, err)
		}
	}
	fatal := func(err error) { c.t.Errorf("%s: fatal: %v", n.id.Name, err) }
	must(os.MkdirAll(filepath.Join(n.dir, "log"), 0o750))
	var err error
	if n.engine, err = c.openEngine(n, fatal); err != nil {
		must(err)
	}
	n.votes, err = raftlog.OpenVotes(filepath.Join(n.dir, "votes.db"), raftlog.VotesOptions{Fatal: fatal})
	must(err)
	config := HostConfig{
		Self: n.id, ClusterID: "3b9f7e34-0000-4000-8000-00000000c1c1", Dir: n.dir,
		Engine: n.engine, Votes: n.votes,
		Transport: c.net.transport, Call: c.net.call(n.id),
		Budget:    storage.NewBudget(64 << 20),
		Logger:    slog.New(slog.NewTextHandler(testWriter{c.t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Fatal:     fatal,
		TuneShard: func(o *storage.Options) { o.InitialMmapSize = 1 << 20 },
	}
	if c.tune != nil {
		c.tune(&config)
	}
	host, err := Open(config)
	must(err)
	c.net.mu.Lock()
	n.host = host
	c.net.mu.Unlock()
	var wants []Want
	for group, birth := range c.births {
		_, listed := birth.Voter(n.id)
		wants = append(wants, Want{Group: group, Birth: birth, Assigned: listed})
	}
	return host.EnsureAll(context.Background(), wants)
}

func (c *testCluster) openEngine(n *testNode, fatal func(error)) (raftlog.Engine, error) {
	corrupt := func(e *raftlog.CorruptError) {
		c.net.mu.Lock()
		host := n.host
		c.net.mu.Unlock()
		if host != nil {
			host.LogDamaged(e.Group, e)
		}
	}
	if !c.bolt {
		return raftlog.OpenShared(filepath.Join(n.dir, "log"), raftlog.SharedOptions{
			SegmentBytes: 1 << 20, MemoryBytes: c.memory, Fatal: fatal, OnCorrupt: corrupt,
		})
	}
	return raftlog.OpenBolt(func(group uint32) string {
		return filepath.Join(n.dir, "groups", strconv.FormatUint(uint64(group), 10), "raft.db")
	}, raftlog.BoltOptions{Fatal: fatal, OnCorrupt: corrupt})
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// stop ends a node; handOver gives its leaderships away first.
func (c *testCluster) stop(n *testNode, handOver bool) {
	c.t.Helper()
	c.net.mu.Lock()
	host := n.host
	n.host = nil
	c.net.mu.Unlock()
	if host == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	if !handOver {
		cancel()
	}
	defer cancel()
	if err := errors.Join(host.Close(ctx), n.votes.Close(), n.engine.Close()); err != nil {
		c.t.Errorf("stop %s: %v", n.id.Name, err)
	}
}

// crash ends a node as kill -9 would: what its shards had not flushed is gone.
func (c *testCluster) crash(n *testNode) {
	c.t.Helper()
	c.net.isolate(n.id.Name, true)
	c.net.mu.Lock()
	host := n.host
	n.host = nil
	c.net.mu.Unlock()
	if err := errors.Join(host.Abandon(), n.votes.Close(), n.engine.Close()); err != nil {
		c.t.Errorf("crash %s: %v", n.id.Name, err)
	}
	c.net.isolate(n.id.Name, false)
}

func (c *testCluster) close() {
	var wg sync.WaitGroup
	for _, n := range c.nodes {
		wg.Go(func() { c.stop(n, false) })
	}
	wg.Wait()
}

// bear commits births of groups on the first size nodes and opens them there,
// with the primaries spread.
func (c *testCluster) bear(size int, groups ...uint32) {
	c.t.Helper()
	wants := make([][]Want, size)
	for _, id := range groups {
		b := &membership.Birth{Group: id, Lineage: fmt.Sprintf("6f1c8a3e-0000-4000-8000-%012d", id), Epoch: 1}
		for i := range size {
			b.Voters = append(b.Voters, c.nodes[(int(id)+i)%size].id.Server(0))
		}
		c.births[id] = b
		for i := range size {
			wants[i] = append(wants[i], Want{Group: id, Birth: b, Assigned: true})
		}
	}
	var wg sync.WaitGroup
	for i := range size {
		wg.Go(func() {
			if err := c.nodes[i].host.EnsureAll(context.Background(), wants[i]); err != nil {
				c.t.Errorf("open groups on %s: %v", c.nodes[i].id.Name, err)
			}
		})
	}
	wg.Wait()
}

// await waits, in virtual time, for a condition.
func await(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", limit, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// leader waits for one leader of a group among the nodes that are up, ready to
// read. Failover is not here, only Raft's timers: of two survivors, one of them
// held, which waits twice as long and has to win and hand over where it alone has
// the whole log, it took up to 37 s in 50 tries.
func (c *testCluster) leader(group uint32) *Group {
	c.t.Helper()
	var found *Group
	await(c.t, fmt.Sprintf("a leader of group %d", group), 5*time.Minute, func() bool {
		for _, n := range c.nodes {
			if n.host == nil {
				continue
			}
			if g, ok := n.host.Group(group); ok && g.IsLeader() {
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				err := g.ReadBarrier(ctx)
				cancel()
				if err == nil {
					found = g
					return true
				}
			}
		}
		return false
	})
	return found
}

func (c *testCluster) group(node int, group uint32) *Group {
	c.t.Helper()
	g, ok := c.nodes[node].host.Group(group)
	if !ok {
		c.t.Fatalf("%s has no group %d", c.nodes[node].id.Name, group)
	}
	return g
}

const (
	testDB   = "weather"
	testColl = "hourly"
)

func putFrame(device string, at, value int64) []byte {
	return storage.AppendPut(nil, []storage.Point{{
		Series: storage.Series{Database: testDB, Collection: testColl, Device: device},
		Time:   at,
		Fields: []storage.Field{{Name: "v", Value: blocks.Int(value)}},
	}})
}

// readAll returns time -> value of a device.
func readAll(t *testing.T, g *Group, device string) map[int64]int64 {
	t.Helper()
	got := make(map[int64]int64)
	q := storage.Query{Series: storage.Series{Database: testDB, Collection: testColl, Device: device}, From: -1 << 62, To: storage.NoEnd}
	err := g.Shard().Scan(context.Background(), q, func(_ storage.Series, c *blocks.Columns) error {
		for i, at := range c.Times {
			got[at] = int64(c.Cols[0].Nums[i])
		}
		return nil
	})
	if err != nil {
		t.Fatalf("scan group %d on %s: %v", g.ID(), g.Self(), err)
	}
	return got
}
