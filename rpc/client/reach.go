package client

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/flotilla-db/flotilla/rpc/pb"
)

// A node that leads groups may be none of those whose addresses the Client was
// given. Then the address that it advertises is tried, beside the reads: none
// of them waits for that, or fails of it. From where the Client is, that
// address may lead nowhere, or to something else; so a connection to it counts
// only once the node at its end has named itself, each time that it is opened.
const (
	// reachLimit bounds one attempt.
	reachLimit = 3 * time.Second
	// After an attempt that failed the address is left alone, for
	// unreachableRest at first and twice as long each time, at most maxRest.
	unreachableRest = time.Minute
	maxRest         = time.Hour
)

// errElsewhere: another node than the one that was looked for answered.
var errElsewhere = errors.New("another node answers at the address that a node advertises")

// reach sees to it that there is a connection to a node, some time.
func (c *Client) reach(m *member) {
	if m.pick() != nil || m.rests() || !c.knowsOwn() {
		return
	}
	r := &c.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.members[m.identity] != m || m.cancel != nil || m.addr == "" || m.given() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), reachLimit) // no read's: ended by Close
	m.cancel = cancel
	old, addr := m.dialed, m.addr
	if old != nil {
		m.without(old)
		m.dialed = nil
	}
	r.dials.Go(func() {
		defer cancel()
		if old != nil {
			_ = old.close() // its stream has ended: nobody waits on it
		}
		n, err := c.dialMember(ctx, addr, m.identity)
		r.mu.Lock()
		defer r.mu.Unlock()
		m.cancel = nil
		if err != nil {
			m.rest(min(unreachableRest<<min(m.refused, 6), maxRest))
			m.refused++
			return
		}
		m.dialed, m.refused = n, 0
		m.with(n)
	})
}

// given reports whether a connection to the node is one of the Client's own:
// it is opened again by the reads that go round.
func (m *member) given() bool {
	conns := m.conns.Load()
	if conns == nil {
		return false
	}
	for _, n := range *conns {
		if n != m.dialed {
			return true
		}
	}
	return false
}

// knowsOwn reports whether the connections that the Client was given have
// named their nodes, as far as they can be expected to.
func (c *Client) knowsOwn() bool {
	for _, n := range c.conns {
		if n.heard.Load() || n.oldNode.Load() {
			continue
		}
		if n.cc.GetState() != connectivity.TransientFailure {
			return false
		}
	}
	return true
}

// dialMember opens a connection with its stream of reads.
func (c *Client) dialMember(ctx context.Context, addr, identity string) (*conn, error) {
	n, err := c.newConn(addr)
	if err != nil {
		return nil, err
	}
	n.queries.kind.open = namedStream(n.api, identity)
	if _, err := n.queries.get(ctx); err != nil {
		_ = n.close()
		return nil, err
	}
	return n, nil
}

// namedStream opens streams of reads to one node and no other.
func namedStream(node pb.FlotillaClient, identity string) func(context.Context) (grpc.BidiStreamingClient[pb.QueryCall, pb.QueryAnswers], error) {
	return func(ctx context.Context) (grpc.BidiStreamingClient[pb.QueryCall, pb.QueryAnswers], error) {
		stream, err := node.QueryStream(ctx)
		if err != nil {
			return nil, err
		}
		header, err := stream.Header()
		if err != nil {
			return nil, err
		}
		if said := header.Get(pb.NodeHeader); len(said) != 1 || said[0] != identity {
			return nil, errElsewhere
		}
		return stream, nil
	}
}

// namingStream tells at which node a given connection ends.
type namingStream struct {
	grpc.BidiStreamingClient[pb.QueryCall, pb.QueryAnswers]
	heard func(identity string) // once, with the first message; "" if the node says nothing
}

func (s *namingStream) Recv() (*pb.QueryAnswers, error) {
	m, err := s.BidiStreamingClient.Recv()
	if err == nil && s.heard != nil {
		identity := ""
		if header, err := s.Header(); err == nil {
			if said := header.Get(pb.NodeHeader); len(said) == 1 {
				identity = said[0]
			}
		}
		s.heard(identity)
		s.heard = nil
	}
	return m, err
}

// announcing opens the streams of reads of a given connection, which may end at
// another node each time.
func (c *Client) announcing(n *conn) func(context.Context) (grpc.BidiStreamingClient[pb.QueryCall, pb.QueryAnswers], error) {
	return func(ctx context.Context) (grpc.BidiStreamingClient[pb.QueryCall, pb.QueryAnswers], error) {
		stream, err := n.api.QueryStream(ctx)
		if err != nil {
			return nil, err
		}
		return &namingStream{stream, func(identity string) {
			c.routes.announce(n, identity)
			n.heard.Store(true)
		}}, nil
	}
}

// close ends what was dialed. Close of the Client calls it once.
func (r *routes) close() {
	r.mu.Lock()
	r.closed = true
	for _, m := range r.members {
		if m.cancel != nil {
			m.cancel()
		}
	}
	r.mu.Unlock()
	r.dials.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.dialed != nil {
			_ = m.dialed.close() // nothing is to be said of a hint
			m.dialed = nil
		}
	}
}
