package gossip

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	clusterA = "aaaaaaaa-0000-4000-8000-00000000000a"
	clusterB = "bbbbbbbb-0000-4000-8000-00000000000b"
)

func TestNodesFindEachOtherThroughOneSeedThatComesLate(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		a := l.start(node(1), addrOf(1), seeds(addrOf(3)))
		b := l.start(node(2), addrOf(2), seeds(addrOf(3)))
		time.Sleep(10 * time.Minute)
		if !a.alone() || !b.alone() {
			t.Fatal("the seed is down")
		}
		c := l.start(node(3), addrOf(3), inCluster(clusterA))
		eventually(t, "all see all", sees(a, b, c))
		m, _ := a.Member(node(3))
		if m.ClusterID != clusterA || m.RPCAddr != addrOf(3)+"0" || m.Addr != addrOf(3) {
			t.Fatalf("%+v", m)
		}
		if !strings.Contains(l.log.String(), "connection refused: it is tried again for ever") {
			t.Error("no clear line about the seed")
		}
	})
}

func TestPartitionHealsAlthoughBothSidesForgotEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		a := l.start(node(1), addrOf(1))
		b := l.start(node(2), addrOf(2), seeds(addrOf(1)))
		c := l.start(node(3), addrOf(3), seeds(addrOf(1)))
		eventually(t, "all see all", sees(a, b, c))
		alone := func(from, to string) bool { return from != to && (from == addrOf(1) || to == addrOf(1)) }
		l.net.setCut(alone)
		eventually(t, "n1 is cut off", func() bool { return a.alone() && !b.Alive(node(1)) && !c.Alive(node(1)) })
		time.Sleep(time.Hour)
		l.net.setCut(nil)
		eventually(t, "all see all again", sees(a, b, c))
	})
}

func TestAnotherClusterIsRefusedWithAClearLine(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		var told sync.Map // who was told of what address
		tell := func(who string) func(*Config) {
			return func(c *Config) {
				c.OnForeign = func(addr string, err error) { told.Store(who+" of "+addr, errors.Is(err, ErrForeign)) }
			}
		}
		a := l.start(node(1), addrOf(1), inCluster(clusterA), tell("a"))
		b := l.start(node(2), addrOf(2), inCluster(clusterB), seeds(addrOf(1)), tell("b"))
		time.Sleep(5 * time.Minute)
		if !a.alone() || !b.alone() {
			t.Fatal("two clusters gossip with each other")
		}
		told.Range(func(what, right any) bool {
			if what != "b of "+addrOf(1) || right != true { // a asked nobody: it is not its mistake
				t.Errorf("told %v: %v", what, right)
			}
			return true
		})
		if _, ok := told.Load("b of " + addrOf(1)); !ok {
			t.Error("nobody was told")
		}
		want := "n1.00000001 at 127.0.0.1:7001 belongs to cluster " + clusterA + ", this node to " + clusterB + ": check --join"
		if !strings.Contains(l.log.String(), want) {
			t.Fatal("no clear line")
		}
	})
}

func TestAFreshNodeDoesNotBridgeTwoClusters(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		a := l.start(node(1), addrOf(1), inCluster(clusterA))
		b := l.start(node(2), addrOf(2), inCluster(clusterB))
		fresh := l.start(node(3), addrOf(3), seeds(addrOf(1), addrOf(2)))
		got, err := fresh.AwaitCluster(within(t, time.Minute))
		if err != nil || got.ClusterID == "" {
			t.Fatalf("%+v, %v", got, err)
		}
		time.Sleep(5 * time.Minute)
		if a.Alive(node(2)) || b.Alive(node(1)) || fresh.Alive(node(1)) == fresh.Alive(node(2)) {
			t.Fatalf("a sees %v, b sees %v, fresh sees %v", a.Members(), b.Members(), fresh.Members())
		}
	})
}

func TestAnotherLabelOrKeyIsNotHeard(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		a := l.start(node(1), addrOf(1), func(c *Config) { c.Key = []byte("one") })
		b := l.start(node(2), addrOf(2), seeds(addrOf(1)), func(c *Config) { c.Key = []byte("two") })
		c := l.start(node(3), addrOf(3), seeds(addrOf(1)), func(c *Config) { c.Key = []byte("one"); c.Label = "other" })
		d := l.start(node(4), addrOf(4), seeds(addrOf(1)))
		e := l.start(node(5), addrOf(5), seeds(addrOf(1)), func(c *Config) { c.Key = []byte("one") })
		time.Sleep(2 * time.Minute)
		if !sees(a, e)() || !b.alone() || !c.alone() || !d.alone() || len(a.Members()) != 2 {
			t.Fatalf("a sees %v", a.Members())
		}
		if !strings.Contains(l.log.String(), "--cluster-key-file") {
			t.Error("no hint")
		}
	})
}

func TestChangedAddressIsTakenUp(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		a := l.start(node(1), addrOf(1))
		b := l.start(node(2), addrOf(2), seeds(addrOf(1)))
		eventually(t, "both see both", sees(a, b))
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		moved := l.start(node(2), addrOf(9), seeds(addrOf(1)))
		eventually(t, "the new address", func() bool {
			m, _ := a.Member(node(2))
			return m.Addr == addrOf(9) && m.State == membership.NodeUp && moved.Alive(node(1))
		})
		if took := time.Since(began); took > 15*time.Second {
			t.Fatalf("it took %v", took)
		}
	})
}

func TestNameIsRefusedOnlyWhileItsOtherIncarnationAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		a := l.start(node(1), addrOf(1), inCluster(clusterA))
		old := l.start(id("n2", "aaaaaaaa"), addrOf(2), seeds(addrOf(1)))
		eventually(t, "both see both", sees(a, old))
		next := l.start(id("n2", "bbbbbbbb"), addrOf(3), seeds(addrOf(1)))
		eventually(t, "all see all", sees(a, old, next))
		if err := next.CheckName(within(t, time.Minute)); !errors.Is(err, ErrNameTaken) {
			t.Fatalf("CheckName = %v", err)
		}
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		if err := next.CheckName(within(t, time.Minute)); err != nil {
			t.Fatalf("the other one is gone, and still listed, but: %v", err)
		}
	})
}

func TestChangesAreTold(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		told := make(chan struct{}, 100)
		a := l.start(node(1), addrOf(1), func(c *Config) { c.OnChange = func() { told <- struct{}{} } })
		b := l.start(node(2), addrOf(2), seeds(addrOf(1)))
		eventually(t, "both see both", sees(a, b))
		for len(told) > 0 {
			<-told
		}
		if err := b.SetClusterID(clusterA); err != nil {
			t.Fatal(err)
		}
		<-told
		if m, _ := a.Member(node(2)); m.ClusterID != clusterA {
			t.Fatalf("%+v", m)
		}
		if err := b.Leave(time.Second); err != nil {
			t.Fatal(err)
		}
		<-told
		if a.Alive(node(2)) {
			t.Fatal("n2 left")
		}
	})
}

// promises is where one node keeps its promise: it outlives the process.
type promises struct {
	mu   sync.Mutex // guards set
	set  []membership.NodeID
	fail error
}

func (p *promises) keep(set []membership.NodeID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	if p.set != nil {
		panic("a second promise")
	}
	p.set = set
	return nil
}

func expecting(n uint32, p *promises) func(*Config) {
	return func(c *Config) {
		c.Meta.Expect, c.Promise, c.Promised = n, p.keep, p.set
	}
}

// makeCluster carries an outcome out like a node does.
func makeCluster(ctx context.Context, g *Gossip) (string, bool, error) {
	o, err := g.AwaitCluster(ctx)
	if err != nil || !o.Bootstrap {
		return o.ClusterID, false, err
	}
	return clusterA, true, g.SetClusterID(clusterA)
}

func TestExpectedNodesMakeOneCluster(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		var wg sync.WaitGroup
		made := make(chan membership.NodeID, 5)
		for i := 1; i <= 5; i++ {
			g := l.start(node(i), addrOf(i), seeds(addrOf(1), addrOf(5)), expecting(5, &promises{}))
			wg.Go(func() {
				cluster, bootstrapped, err := makeCluster(within(t, 5*time.Minute), g)
				if err != nil || cluster != clusterA {
					t.Errorf("n%d: %q, %v", i, cluster, err)
				}
				if bootstrapped {
					made <- g.cfg.Self
				}
			})
			time.Sleep(time.Duration(i) * 700 * time.Millisecond)
		}
		wg.Wait()
		if len(made) != 1 || <-made != node(1) {
			t.Fatalf("%d nodes made the cluster", len(made)+1)
		}
	})
}

func TestPromiseIsKeptOverARestart(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		kept := []*promises{{}, {}, {}}
		var all []*Gossip
		for i := range 3 {
			all = append(all, l.start(node(i+1), addrOf(i+1), seeds(addrOf(1)), expecting(3, kept[i])))
		}
		eventually(t, "all see all", sees(all...))
		for _, i := range []int{1, 2} { // n2 and n3 promise and die, n1 has not begun
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if _, err := all[i].AwaitCluster(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
			if kept[i].set == nil {
				t.Fatalf("n%d has not promised", i+1)
			}
			if err := all[i].Close(); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		// A stranger is no substitute: n2 and n3 have promised n1, n2, n3.
		l.start(node(4), addrOf(4), seeds(addrOf(1)), expecting(3, &promises{}))
		b := l.start(node(2), addrOf(2), seeds(addrOf(1)), expecting(3, kept[1]))
		time.Sleep(time.Minute)
		if got, err := b.AwaitCluster(within(t, time.Minute)); err == nil {
			t.Fatalf("without n3: %+v", got)
		}
		l.start(node(3), addrOf(3), seeds(addrOf(1)), expecting(3, kept[2]))
		if err := l.all[3].Close(); err != nil {
			t.Fatal(err)
		}
		if o, err := all[0].AwaitCluster(ctx); err != nil || !o.Bootstrap {
			t.Fatalf("n1: %+v, %v", o, err)
		}
	})
}

func TestAPromiseThatCannotBeWrittenIsNotSpread(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		a := l.start(node(1), addrOf(1), expecting(2, &promises{}))
		b := l.start(node(2), addrOf(2), seeds(addrOf(1)), expecting(2, &promises{fail: errDisk}))
		if _, err := b.AwaitCluster(within(t, time.Minute)); !errors.Is(err, errDisk) {
			t.Fatalf("AwaitCluster = %v", err)
		}
		if got, err := a.AwaitCluster(within(t, time.Minute)); err == nil {
			t.Fatalf("%+v", got)
		}
	})
}

func TestAnExistingClusterEndsTheWait(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		fresh := l.start(node(1), addrOf(1), expecting(3, &promises{}))
		l.start(node(2), addrOf(2), seeds(addrOf(1)), inCluster(clusterB))
		o, err := fresh.AwaitCluster(within(t, time.Minute))
		if err != nil || o.Bootstrap || o.ClusterID != clusterB {
			t.Fatalf("%+v, %v", o, err)
		}
	})
}

func TestStartRefusesWhatDoesNotFit(t *testing.T) {
	_, err := Start(Config{Self: node(1), Meta: Meta{Zone: strings.Repeat("z", 600)}})
	if !errors.Is(err, ErrMeta) {
		t.Fatalf("Start = %v", err)
	}
}

func TestTwoNodesOverRealSockets(t *testing.T) {
	changed := make(chan struct{}, 64)
	onChange := func(c *Config) { c.OnChange = func() { changed <- struct{}{} } }
	a := startReal(t, Config{Self: node(1), Meta: Meta{ClusterID: clusterA}, Key: []byte("k")}, onChange)
	b := startReal(t, Config{Self: node(2), Seeds: []string{"localhost:" + a.Addr()[len("127.0.0.1:"):]}, Key: []byte("k")}, onChange)
	ctx := within(t, time.Minute)
	if o, err := b.AwaitCluster(ctx); err != nil || o.ClusterID != clusterA {
		t.Fatalf("%+v, %v", o, err)
	}
	for !sees(a, b)() {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("a sees %v, b sees %v", a.Members(), b.Members())
		}
	}
	if _, err := Start(Config{Self: node(3), BindAddr: a.Addr()}); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("a port in use: %v", err)
	}
}

func startReal(t *testing.T, cfg Config, change func(*Config)) *Gossip {
	t.Helper()
	cfg.BindAddr = "127.0.0.1:0"
	change(&cfg)
	g, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}
