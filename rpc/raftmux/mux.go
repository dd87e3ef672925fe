package raftmux

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/membership"
)

// Mux is a node's end of the streams to and from all its peers.
type Mux struct {
	config  Config
	timings Timings
	log     *slog.Logger
	started time.Time

	counters   counters
	events     events
	handlers   handlers
	goroutines sync.WaitGroup
	closing    chan struct{} // closed by Close
	waiting    atomic.Int64  // bytes of large AppendEntries that wait for their peers

	mu         sync.RWMutex // guards what follows
	closed     bool
	peers      map[membership.NodeID]*peer
	transports map[uint32]*Transport
}

// New checks the config and makes a Mux. Nothing is dialled before the first
// request, Connect, or a peer's own stream.
func New(config Config) (*Mux, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.Dial == nil {
		config.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Mux{
		config:     config,
		timings:    config.Timings.withDefaults(),
		log:        config.Logger,
		started:    time.Now(),
		events:     events{kick: make(chan struct{}, 1), waiting: map[membership.NodeID]PeerEvent{}},
		closing:    make(chan struct{}),
		peers:      map[membership.NodeID]*peer{},
		transports: map[uint32]*Transport{},
	}
	m.handlers.init(m.closing, &m.goroutines)
	m.goroutines.Go(m.runClock)
	m.goroutines.Go(func() { m.events.run(m.closing) })
	return m, nil
}

// clock is a monotonic clock that never reads 0.
func (m *Mux) clock() time.Duration { return time.Since(m.started) + 1 }

// runClock ticks all peers: one timer for pings, deadlines and silence.
func (m *Mux) runClock() {
	ticker := time.NewTicker(m.timings.Ping)
	defer ticker.Stop()
	for {
		select {
		case <-m.closing:
			return
		case now := <-ticker.C:
			for _, p := range m.allPeers() {
				p.tick(now)
			}
		}
	}
}

func (m *Mux) allPeers() []*peer {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*peer, 0, len(m.peers))
	for _, p := range m.peers {
		all = append(all, p)
	}
	return all
}

// peer gives the peer of that id, made at first need.
func (m *Mux) peer(id membership.NodeID) (*peer, error) {
	m.mu.RLock()
	p, closed := m.peers[id], m.closed
	m.mu.RUnlock()
	switch {
	case closed:
		return nil, ErrClosed
	case p != nil:
		return p, nil
	}
	if err := id.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch p := m.peers[id]; {
	case m.closed:
		return nil, ErrClosed
	case p != nil:
		return p, nil
	case id == m.config.Local:
		return nil, fmt.Errorf("%w: %s is this node", ErrUnreachable, id)
	case len(m.peers) >= maxPeers:
		return nil, fmt.Errorf("%w: links with %d nodes", ErrBusy, len(m.peers))
	}
	p = &peer{id: id, mux: m}
	out, err := newOutLink(p)
	if err != nil {
		return nil, err
	}
	p.out = out
	m.peers[id] = p
	return p, nil
}

// Connect keeps streams to these nodes open from now on, so that their
// silence is noticed; a node that opens a stream to us is connected by itself.
func (m *Mux) Connect(nodes ...membership.NodeID) {
	for _, id := range nodes {
		if id == m.config.Local {
			continue
		}
		if _, err := m.peer(id); err != nil {
			m.log.Warn("cannot connect to peer", "peer", id.String(), "error", err)
		}
	}
}

// Forget ends the streams with a node (removed, or replaced by a new
// incarnation) and stops redialling it.
func (m *Mux) Forget(id membership.NodeID) {
	m.mu.Lock()
	p := m.peers[id]
	delete(m.peers, id)
	m.mu.Unlock()
	if p != nil {
		p.end(errForgotten)
	}
}

// end stops both links of a peer.
func (p *peer) end(why error) {
	p.out.cancel()
	if s := p.out.session.Load(); s != nil {
		s.fail(why)
	}
	p.mu.Lock()
	in := p.in
	p.mu.Unlock()
	if in != nil {
		in.fail(why)
	}
}

// Peer reports a peer's state; the zero state for one that is not known.
func (m *Mux) Peer(to membership.NodeID) PeerState {
	m.mu.RLock()
	p := m.peers[to]
	m.mu.RUnlock()
	if p == nil {
		return PeerState{}
	}
	p.out.mu.Lock()
	refused := p.out.refused
	p.out.mu.Unlock()
	return PeerState{Connected: p.out.session.Load() != nil, Refused: refused, Heard: p.heard.Load() != 0, Silent: p.silence()}
}

// OnPeer adds an observer of peer events. Observers are called one at a time,
// by one goroutine: they must not block for long.
func (m *Mux) OnPeer(observe func(membership.NodeID, PeerEvent)) {
	m.events.mu.Lock()
	defer m.events.mu.Unlock()
	m.events.observers = append(m.events.observers, observe)
}

// Conn gives the gRPC connection to a peer, for streaming RPCs beside the
// frames. It is shared: do not close it. It waits for the stream to the peer,
// so that the peer is known to be of our cluster.
func (m *Mux) Conn(ctx context.Context, to membership.NodeID) (*grpc.ClientConn, error) {
	p, err := m.peer(to)
	if err != nil {
		return nil, err
	}
	if _, err := p.out.open(ctx.Done(), time.Time{}, false); err != nil {
		return nil, err
	}
	return p.out.conn, nil
}

// Stats counts what a Mux has moved since it was made.
type Stats struct {
	MessagesOut, FramesOut, BytesOut uint64
	MessagesIn, FramesIn, BytesIn    uint64
}

// Stats reads the counters.
func (m *Mux) Stats() Stats {
	c := &m.counters
	return Stats{
		MessagesOut: c.messagesOut.Load(), FramesOut: c.framesOut.Load(), BytesOut: c.bytesOut.Load(),
		MessagesIn: c.messagesIn.Load(), FramesIn: c.framesIn.Load(), BytesIn: c.bytesIn.Load(),
	}
}

// Close ends all streams, fails what waits, and waits for its goroutines. The
// transports of all groups are closed with it.
func (m *Mux) Close() error {
	m.mu.Lock()
	first := !m.closed
	m.closed = true
	transports := make([]*Transport, 0, len(m.transports))
	for _, t := range m.transports {
		transports = append(transports, t)
	}
	m.mu.Unlock()
	if first {
		close(m.closing)
	}
	for _, p := range m.allPeers() {
		p.end(ErrClosed)
	}
	for _, t := range transports {
		t.Close()
	}
	m.goroutines.Wait()
	return nil
}
