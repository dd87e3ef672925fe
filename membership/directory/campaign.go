package directory

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

var errNoPreVote = errors.New("the transport has no pre-vote")

// selfTransport lets a node speak to its own raft: it adds a source of RPCs to
// the transport that it wraps. A TimeoutNow from ourselves starts an election
// at once instead of after the election timeout. It outlives the instances of
// raft that use it, one after the other.
type selfTransport struct {
	raft.Transport
	consumer chan raft.RPC
	stop     chan struct{}
	once     sync.Once
	done     sync.WaitGroup
}

func newSelfTransport(inner raft.Transport) *selfTransport {
	return &selfTransport{Transport: inner, consumer: make(chan raft.RPC), stop: make(chan struct{})}
}

// start hands on what comes from other nodes. What take answers itself, by
// returning true, raft does not see. It is called from one goroutine.
func (t *selfTransport) start(take func(raft.RPC) bool) {
	t.done.Go(func() {
		in := t.Transport.Consumer()
		for {
			select {
			case rpc, ok := <-in:
				if !ok {
					return
				}
				if !take(rpc) && !t.hand(rpc) {
					return
				}
			case <-t.stop:
				return
			}
		}
	})
}

// hand gives an RPC to raft, unless the transport closes first.
func (t *selfTransport) hand(rpc raft.RPC) bool {
	select {
	case t.consumer <- rpc:
		return true
	case <-t.stop:
		return false
	}
}

// Consumer implements raft.Transport.
func (t *selfTransport) Consumer() <-chan raft.RPC { return t.consumer }

// RequestPreVote implements raft.WithPreVote. An inner transport without it
// gives an error, which counts as no pre-vote.
func (t *selfTransport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if inner, ok := t.Transport.(raft.WithPreVote); ok {
		return inner.RequestPreVote(id, target, args, resp)
	}
	return errNoPreVote
}

// Close implements raft.WithClose.
func (t *selfTransport) Close() error {
	t.once.Do(func() { close(t.stop) })
	t.done.Wait()
	if c, ok := t.Transport.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Campaign starts an election now. Call it only when the leader is known to
// be gone: voters give up a leader that they still know. A node without a vote
// does nothing.
func (d *Directory) Campaign(ctx context.Context) error {
	if voters, err := d.voters(); err != nil || !slices.Contains(voters, d.self) || d.IsLeader() {
		return err
	}
	id := []byte(d.self.String())
	rpc := raft.RPC{
		Command:  &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: id, Addr: id}},
		RespChan: make(chan raft.RPCResponse, 1),
	}
	select {
	case d.transport.consumer <- rpc:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.stopped:
		return ErrClosed
	}
}

// campaignIfAlone saves a lone node the election timeout.
func (d *Directory) campaignIfAlone() {
	if voters, err := d.voters(); err == nil && len(voters) == 1 && voters[0] == d.self {
		d.tasks.Go(func() { _ = d.Campaign(context.Background()) })
	}
}
