package client_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
)

// forwards counts the reads that nodes forward, by the node that was asked.
type forwards struct {
	mu   sync.Mutex
	from map[string]int
}

func countForwards(c *fakecluster.Cluster) *forwards {
	f := &forwards{from: map[string]int{}}
	c.OnCall(func(from, _ string, method gateway.Method) (before, after error) {
		if method == gateway.MethodQuery {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.from[from]++
		}
		return nil, nil
	})
	return f
}

func (f *forwards) all() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.from {
		n += k
	}
	return n
}

// addressed are nodes that advertise addresses: "passthrough:///" and their name.
type addressed struct{ gateway.Directory }

func (a addressed) Table() *gateway.Table {
	t := *a.Directory.Table()
	t.Nodes = maps.Clone(t.Nodes)
	for name, n := range t.Nodes {
		n.RPCAddr = "passthrough:///" + name
		t.Nodes[name] = n
	}
	return &t
}

func addressedCluster(t *testing.T) *fakecluster.Cluster {
	t.Helper()
	return fakecluster.New(t, fakecluster.Options{Configure: func(_ int, c *gateway.Config) { c.Directory = addressed{c.Directory} }})
}

// network is where the nodes of a cluster are for a client.
type network struct {
	mu    sync.Mutex
	nodes map[string]*fakecluster.Node // by the name of an address; nil: nobody is there
	dials map[string]int
}

func newNetwork(c *fakecluster.Cluster) *network {
	n := &network{nodes: map[string]*fakecluster.Node{}, dials: map[string]int{}}
	for _, node := range c.Nodes {
		n.nodes[node.Name] = node
	}
	return n
}

func (n *network) dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dials[addr]++
	to := n.nodes[addr]
	n.mu.Unlock()
	if to == nil {
		return nil, errors.New("no route to host")
	}
	return to.Dial(ctx, addr)
}

func (n *network) dialed(addr string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[addr]
}

// client is given the addresses of some nodes.
func (n *network) client(t *testing.T, o client.Options, names ...string) *client.Client {
	t.Helper()
	for _, name := range names {
		o.Addrs = append(o.Addrs, "passthrough:///"+name)
	}
	o.Dial = append(o.Dial, grpc.WithContextDialer(n.dial))
	cl, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	return cl
}

// readLast reads the newest point of the series and checks that it is the one
// written last.
func readLast(t *testing.T, cl *client.Client, want int64) {
	t.Helper()
	p, ok, err := cl.Last(t.Context(), series, client.Linearizable)
	if err != nil || !ok || p.Time != want {
		t.Fatalf("%+v, %v, %v: want the point at %d", p, ok, err, want)
	}
}

func writeAt(t *testing.T, cl *client.Client, ns int64) {
	t.Helper()
	if _, err := cl.Write(t.Context(), []client.Point{at(ns, 1)}); err != nil {
		t.Fatal(err)
	}
}

// settle reads until reads are not forwarded any more: the test's own time
// bounds it.
func settle(t *testing.T, cl *client.Client, f *forwards, want int64) {
	t.Helper()
	for direct := 0; direct < 6; direct++ { // more than there are connections
		before := f.all()
		if readLast(t, cl, want); f.all() != before {
			direct = -1
		}
		if t.Context().Err() != nil {
			t.Fatal("reads are still forwarded")
		}
	}
}

var seriesGroup = storage.GroupOf(series.Database, series.Collection, series.Device, fakecluster.TotalGroups)

func TestReadsFollowTheLeader(t *testing.T) {
	c := addressedCluster(t)
	f := countForwards(c)
	cl := newNetwork(c).client(t, client.Options{RetryFor: -1}, "n1", "n2", "n3")
	for i, leader := range []string{"n1", "n2", "n3", "n2"} {
		c.SetLeader(seriesGroup, leader)
		writeAt(t, cl, int64(i)) // what an old leader does not have
		for range 3 {
			readLast(t, cl, int64(i))
		}
		settle(t, cl, f, int64(i))
		before := f.all()
		for range 50 {
			readLast(t, cl, int64(i))
		}
		if n := f.all() - before; n != 0 {
			t.Errorf("%d of 50 reads were forwarded to %s", n, leader)
		}
	}
}

func TestLeaderAtAnAddressThatWasNotGivenIsReached(t *testing.T) {
	c := addressedCluster(t)
	c.SetLeader(seriesGroup, "n2")
	f, network := countForwards(c), newNetwork(c)
	cl := network.client(t, client.Options{RetryFor: -1}, "n1")
	writeAt(t, cl, 1)
	settle(t, cl, f, 1)
	if network.dialed("n2") != 1 || network.dialed("n3") != 0 {
		t.Errorf("dialed n2 %d times, n3 %d times", network.dialed("n2"), network.dialed("n3"))
	}
	// It dies: the address that was given is all that a read needs.
	c.SetLeader(seriesGroup, "n3")
	c.Nodes[1].StopGRPC()
	for i := range int64(20) {
		writeAt(t, cl, 2+i)
		readLast(t, cl, 2+i)
	}
	settle(t, cl, f, 21)
}

func TestAddressThatLeadsNowhereIsTriedOnce(t *testing.T) {
	c := addressedCluster(t)
	c.SetLeader(seriesGroup, "n2")
	f, network := countForwards(c), newNetwork(c)
	network.nodes["n2"] = nil
	cl := network.client(t, client.Options{RetryFor: -1}, "n1")
	writeAt(t, cl, 1)
	for network.dialed("n2") == 0 {
		readLast(t, cl, 1)
	}
	before := f.all()
	for range 200 {
		readLast(t, cl, 1)
	}
	if n := f.all() - before; n != 200 || network.dialed("n2") != 1 {
		t.Errorf("%d of 200 reads were forwarded, dialed %d times", n, network.dialed("n2"))
	}
}

// Behind the address that n2 advertises is another node, as an address of a
// private network may lead to one of another cluster.
func TestAddressThatLeadsElsewhereIsNotUsed(t *testing.T) {
	c := addressedCluster(t)
	c.SetLeader(seriesGroup, "n2")
	f, network := countForwards(c), newNetwork(c)
	network.nodes["n2"] = c.Nodes[2]
	cl := network.client(t, client.Options{RetryFor: -1}, "n1")
	writeAt(t, cl, 1)
	for network.dialed("n2") == 0 {
		readLast(t, cl, 1)
	}
	for range 200 {
		readLast(t, cl, 1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from["n3"] != 0 || f.from["n1"] < 200 {
		t.Errorf("reads were forwarded by %v: n3 was asked for n2", f.from)
	}
}

func TestOnlyAddrsAsksNobodyElse(t *testing.T) {
	c := addressedCluster(t)
	c.SetLeader(seriesGroup, "n3")
	f, network := countForwards(c), newNetwork(c)
	cl := network.client(t, client.Options{RetryFor: -1, OnlyAddrs: true}, "n1", "n2")
	writeAt(t, cl, 1)
	for range 100 {
		readLast(t, cl, 1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from["n1"] != 50 || f.from["n2"] != 50 || network.dialed("n3") != 0 {
		t.Errorf("forwarded by %v, n3 dialed %d times", f.from, network.dialed("n3"))
	}
}

func TestReadersRaceWithChangesOfTheLeader(t *testing.T) {
	c := addressedCluster(t)
	network := newNetwork(c)
	cl := network.client(t, client.Options{}, "n1", "n2")
	var written atomic.Int64
	writeAt(t, cl, 0)
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 8 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				least := written.Load()
				p, ok, err := cl.Last(t.Context(), series, client.Linearizable)
				if err != nil || !ok || p.Time < least {
					t.Errorf("%+v, %v, %v: %d was acknowledged before", p, ok, err, least)
					return
				}
			}
		})
	}
	for i := int64(1); i <= 60; i++ {
		c.SetLeader(seriesGroup, []string{"n1", "n2", "n3"}[i%3])
		writeAt(t, cl, i)
		written.Store(i)
	}
	close(done)
	readers.Wait()
}

// leaderNode names itself and answers every read but those that it swallows.
type leaderNode struct {
	pb.UnimplementedFlotillaServer
	identity string
	route    *pb.Route // nil: it leads
	silent   atomic.Bool
	reads    atomic.Int32
}

func (n *leaderNode) QueryStream(stream grpc.BidiStreamingServer[pb.QueryCall, pb.QueryAnswers]) error {
	if err := stream.SendHeader(metadata.Pairs(pb.NodeHeader, n.identity)); err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if n.reads.Add(1); n.silent.Load() {
			continue
		}
		a := &pb.QueryAnswer{Id: m.GetId(), Rows: []*pb.QueryReply{pb.RowsMessage("a", readings(1))}, Route: n.route}
		if err := stream.Send(&pb.QueryAnswers{Answers: []*pb.QueryAnswer{a}}); err != nil {
			return err
		}
	}
}

func TestLeaderThatFallsSilentIsPassedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leads := &leaderNode{identity: "c/n2"}
		any := &leaderNode{identity: "c/n1", route: &pb.Route{Group: 0, TotalGroups: 1, Node: "c/n2", RpcAddr: "passthrough:///n2"}}
		listeners := map[string]*bufconn.Listener{}
		var serving sync.WaitGroup
		for name, node := range map[string]*leaderNode{"n1": any, "n2": leads} {
			l := bufconn.Listen(1 << 20)
			listeners[name] = l
			s := grpc.NewServer()
			pb.RegisterFlotillaServer(s, node)
			serving.Go(func() { _ = s.Serve(l) }) // ends with Stop
			defer s.Stop()
		}
		cl, err := client.New(client.Options{Addrs: []string{"passthrough:///n1"}, Dial: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return listeners[addr].DialContext(ctx) }),
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		read := func() time.Duration {
			began := time.Now()
			if _, ok, err := cl.Last(t.Context(), series, client.Linearizable); !ok || err != nil {
				t.Fatalf("%v %v", ok, err)
			}
			return time.Since(began)
		}
		read()
		synctest.Wait() // until n2 is reached
		if read(); leads.reads.Load() != 1 {
			t.Fatalf("the leader was asked %d times", leads.reads.Load())
		}
		leads.silent.Store(true)
		if took := read(); took < time.Second || took > 3*time.Second {
			t.Errorf("a read took %s of a silent leader", took)
		}
		for range 20 { // for a while it is not asked at all
			if took := read(); took > 100*time.Millisecond {
				t.Errorf("a read took %s", took)
			}
		}
		leads.silent.Store(false)
		time.Sleep(time.Minute) // virtual
		asked := leads.reads.Load()
		read()
		if read(); leads.reads.Load() == asked {
			t.Error("a leader that answers again is not asked")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		leads.silent.Store(true)
		if _, ok, err := cl.Last(ctx, series, client.Linearizable); !ok || err != nil {
			t.Errorf("a caller with a second: %v %v", ok, err)
		}
	})
}
