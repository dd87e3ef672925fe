package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"

	"github.com/flotilla-db/flotilla/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memNet is a network in memory: packets are dropped, and dials refused,
// where it is cut.
type memNet struct {
	mu    sync.Mutex // guards the rest
	nodes map[string]*memTransport
	cut   func(from, to string) bool
}

type memTransport struct {
	net     *memNet
	addr    string
	packets chan *memberlist.Packet
	streams chan net.Conn
}

type memAddr string

func (memAddr) Network() string  { return "mem" }
func (a memAddr) String() string { return string(a) }

func (n *memNet) transport(addr string) *memTransport {
	t := &memTransport{net: n, addr: addr, packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn, 64)}
	n.mu.Lock()
	n.nodes[addr] = t
	n.mu.Unlock()
	return t
}

func (n *memNet) reach(from, to string) *memTransport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut != nil && n.cut(from, to) {
		return nil
	}
	return n.nodes[to]
}

func (n *memNet) setCut(cut func(from, to string) bool) {
	n.mu.Lock()
	n.cut = cut
	n.mu.Unlock()
}

func (t *memTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	host, port, _ := net.SplitHostPort(t.addr)
	p, err := strconv.Atoi(port)
	return net.ParseIP(host).To4(), p, err
}

func (t *memTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	if to := t.net.reach(t.addr, addr); to != nil {
		select {
		case to.packets <- &memberlist.Packet{Buf: bytes.Clone(b), From: memAddr(t.addr), Timestamp: now}:
		default:
		}
	}
	return now, nil
}

func (t *memTransport) DialTimeout(addr string, _ time.Duration) (net.Conn, error) {
	to := t.net.reach(t.addr, addr)
	if to == nil {
		return nil, fmt.Errorf("dial %s: connection refused", addr)
	}
	ours, theirs := net.Pipe()
	select {
	case to.streams <- theirs:
		return ours, nil
	default:
		return nil, fmt.Errorf("dial %s: busy", addr)
	}
}

func (t *memTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *memTransport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *memTransport) Shutdown() error {
	t.net.mu.Lock()
	if t.net.nodes[t.addr] == t {
		delete(t.net.nodes, t.addr)
	}
	t.net.mu.Unlock()
	return nil
}

// lab starts gossips in one bubble.
type lab struct {
	t   *testing.T
	net *memNet
	log *lines
	all []*Gossip
}

// lines keeps what was logged.
type lines struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func bubble(t *testing.T, f func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, net: &memNet{nodes: map[string]*memTransport{}}, log: &lines{}}
		t.Cleanup(l.close)
		f(t, l)
	})
}

// close ends all, and lets memberlist's timers run out.
func (l *lab) close() {
	for _, g := range l.all {
		if err := g.Close(); err != nil {
			l.t.Error(err)
		}
	}
	time.Sleep(time.Minute)
	if l.t.Failed() {
		l.t.Log(l.log.String())
	}
}

func id(name, incarnation string) membership.NodeID {
	return membership.NodeID{Name: name, Incarnation: incarnation}
}

func addrOf(i int) string { return fmt.Sprintf("127.0.0.1:%d", 7000+i) }

func node(i int) membership.NodeID { return id(fmt.Sprintf("n%d", i), fmt.Sprintf("%08d", i)) }

func (l *lab) start(self membership.NodeID, addr string, change ...func(*Config)) *Gossip {
	l.t.Helper()
	cfg := Config{
		Self: self, Transport: l.net.transport(addr), Meta: Meta{RPCAddr: addr + "0", Version: "test"},
		Logger: slog.New(slog.NewTextHandler(l.log, nil)).With("node", self.Name),
	}
	for _, f := range change {
		f(&cfg)
	}
	g, err := Start(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.all = append(l.all, g)
	return g
}

func seeds(addrs ...string) func(*Config) { return func(c *Config) { c.Seeds = addrs } }

func inCluster(cluster string) func(*Config) { return func(c *Config) { c.Meta.ClusterID = cluster } }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within five minutes: %s", what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// sees reports whether each of the gossips has all of them up.
func sees(all ...*Gossip) func() bool {
	return func() bool {
		for _, g := range all {
			for _, other := range all {
				if !g.Alive(other.cfg.Self) {
					return false
				}
			}
		}
		return true
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

var errDisk = errors.New("disk full")
