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
	listeners map[string]*listener // guarded by mu
	links     map[[2]string]*link  // guarded by mu
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
	return &Network{listeners: make(map[string]*listener), links: make(map[[2]string]*link)}
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
	if n.listeners[addr] != nil {
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
		n.mu.Unlock()
		if l == nil {
			return nil, &refusedError{addr, refused}
		}
		near, far := newConns(k, address(host+":0"), l.addr)
		select {
		case l.backlog <- far:
			return near, nil
		case <-l.closed:
			return nil, &refusedError{addr, refused}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
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

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		if l.network.listeners[string(l.addr)] == l {
			delete(l.network.listeners, string(l.addr))
		}
	})
	return nil
}
