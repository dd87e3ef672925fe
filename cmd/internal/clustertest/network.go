package clustertest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Network connects hosts in memory. Addresses are "host:port"; a host is what
// faults are told of. Links are symmetric and start whole.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener            // guarded by mu
	links     map[[2]string]*link             // guarded by mu
	conns     map[string]map[*conn]struct{}   // guarded by mu: open ends by host
	receivers map[string]func(string, []byte) // guarded by mu: of packets, by address
	dead      map[string]bool                 // guarded by mu: hosts after Kill
}

// link is the state between two hosts.
type link struct {
	mu      sync.Mutex
	cut     bool          // guarded by mu: nothing is delivered, nothing refused
	delay   time.Duration // guarded by mu: one way
	changed chan struct{} // guarded by mu: closed and replaced at each change
}

// NewNetwork returns a network without hosts.
func NewNetwork() *Network {
	return &Network{
		listeners: make(map[string]*listener), links: make(map[[2]string]*link), conns: make(map[string]map[*conn]struct{}),
		receivers: make(map[string]func(string, []byte)), dead: make(map[string]bool),
	}
}

// refusedError says that nobody listens; refused is the sentinel that the
// dialler's side knows it by.
type refusedError struct {
	addr    string
	refused error
}

func (e *refusedError) Error() string { return fmt.Sprintf("dial %s: connection refused", e.addr) }
func (e *refusedError) Unwrap() error { return e.refused }

// Listen opens an address.
func (n *Network) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil || n.dead[hostOf(addr)] {
		return nil, fmt.Errorf("listen %s: address in use", addr)
	}
	l := &listener{network: n, addr: address(addr), backlog: make(chan *conn, 64), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// Dialer gives the dial function of a host. Errors of an address at which
// nobody listens wrap refused.
func (n *Network) Dialer(host string, refused error) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		k := n.link(host, hostOf(addr))
		if err := k.awaitWhole(ctx); err != nil {
			return nil, fmt.Errorf("dial %s: %w", addr, err)
		}
		n.mu.Lock()
		l := n.listeners[addr]
		if l == nil || n.dead[host] {
			n.mu.Unlock()
			return nil, &refusedError{addr, refused}
		}
		near, far := newConns(k, address(host+":0"), l.addr)
		n.openLocked(host, near)
		n.openLocked(hostOf(addr), far)
		n.mu.Unlock()
		select {
		case l.backlog <- far:
			select {
			case <-l.closed: // after Close has emptied the backlog, perhaps
				_, _ = near.Close(), far.Close()
				return nil, &refusedError{addr, refused}
			default:
				return near, nil
			}
		case <-l.closed:
			_, _ = near.Close(), far.Close()
			return nil, &refusedError{addr, refused}
		case <-ctx.Done():
			_, _ = near.Close(), far.Close()
			return nil, ctx.Err()
		}
	}
}

// openLocked notes an end of a connection for as long as it is open.
func (n *Network) openLocked(host string, c *conn) {
	if n.conns[host] == nil {
		n.conns[host] = make(map[*conn]struct{})
	}
	n.conns[host][c] = struct{}{}
	c.closed = func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns[host], c)
	}
}

// Kill ends a host's sockets at once, as the end of its process does: its
// connections break, its addresses refuse, and it reaches nobody until Revive.
func (n *Network) Kill(host string) {
	n.mu.Lock()
	n.dead[host] = true
	var ends []interface{ Close() error }
	for c := range n.conns[host] {
		ends = append(ends, c)
	}
	for _, l := range n.listeners {
		if hostOf(string(l.addr)) == host {
			ends = append(ends, l)
		}
	}
	n.mu.Unlock()
	for _, end := range ends {
		_ = end.Close()
	}
}

// Revive lets a killed host listen and dial again.
func (n *Network) Revive(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.dead, host)
}

// Receive hands the packets that arrive at an address to a function, which must
// not block; nil ends that.
func (n *Network) Receive(addr string, packet func(from string, b []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if packet == nil {
		delete(n.receivers, addr)
		return
	}
	n.receivers[addr] = packet
}

// Send carries a packet, which is lost where the link is cut or nobody receives.
func (n *Network) Send(from, to string, packet []byte) {
	packet = append([]byte(nil), packet...)
	cut, delay, _ := n.link(hostOf(from), hostOf(to)).state()
	if cut {
		return
	}
	deliver := func() {
		n.mu.Lock()
		receive := n.receivers[to]
		if n.dead[hostOf(from)] || n.dead[hostOf(to)] {
			receive = nil
		}
		n.mu.Unlock()
		if receive != nil {
			receive(from, packet)
		}
	}
	if delay > 0 {
		time.AfterFunc(delay, deliver)
		return
	}
	deliver()
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

func (n *Network) link(a, b string) *link {
	if b < a {
		a, b = b, a
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.links[[2]string{a, b}]
	if k == nil {
		k = &link{changed: make(chan struct{})}
		n.links[[2]string{a, b}] = k
	}
	return k
}

// Cut drops everything between two hosts, in both directions, without closing
// a connection: as a cable that is pulled.
func (n *Network) Cut(a, b string) { n.link(a, b).set(func(k *link) { k.cut = true }) }

// Heal ends Cut. What was sent meanwhile arrives, as TCP would send it again.
func (n *Network) Heal(a, b string) { n.link(a, b).set(func(k *link) { k.cut = false }) }

// Delay makes everything between two hosts take that long, one way.
func (n *Network) Delay(a, b string, d time.Duration) {
	n.link(a, b).set(func(k *link) { k.delay = d })
}

// Isolate cuts a host from all others; Rejoin heals that.
func (n *Network) Isolate(host string, others ...string) {
	for _, o := range others {
		if o != host {
			n.Cut(host, o)
		}
	}
}

// Rejoin ends Isolate.
func (n *Network) Rejoin(host string, others ...string) {
	for _, o := range others {
		if o != host {
			n.Heal(host, o)
		}
	}
}

func (k *link) set(change func(*link)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(k)
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *link) state() (cut bool, delay time.Duration, changed chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cut, k.delay, k.changed
}

func (k *link) awaitWhole(ctx context.Context) error {
	for {
		cut, _, changed := k.state()
		if !cut {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }

type listener struct {
	network *Network
	addr    address
	backlog chan *conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses what was not accepted yet.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		if l.network.listeners[string(l.addr)] == l {
			delete(l.network.listeners, string(l.addr))
		}
		l.network.mu.Unlock()
		close(l.closed)
		for {
			select {
			case c := <-l.backlog:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}
