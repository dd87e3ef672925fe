package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

var errCut = errors.New("test network: unreachable")

// testNet is a network in memory whose links can be cut.
type testNet struct {
	mu    sync.Mutex
	nodes map[membership.NodeID]*testNode
	doors map[door]*testTransport
	cut   map[[2]string]bool                                    // by node names, one direction
	slow  func(to membership.NodeID, command any) time.Duration // on its way there
	mute  string                                                // this node's Raft RPCs are lost in both directions; calls pass
}

// door is where a server of a group listens.
type door struct {
	group uint32
	addr  raft.ServerAddress
}

func newTestNet() *testNet {
	return &testNet{
		nodes: make(map[membership.NodeID]*testNode),
		doors: make(map[door]*testTransport),
		cut:   make(map[[2]string]bool),
	}
}

// isolate cuts the node's links in both directions, or heals them.
func (n *testNet) isolate(name string, cut bool, except ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id := range n.nodes {
		open := false
		for _, e := range except {
			open = open || id.Name == e
		}
		if id.Name != name && !open {
			n.cut[[2]string{name, id.Name}], n.cut[[2]string{id.Name, name}] = cut, cut
		}
	}
}

func (n *testNet) door(from membership.NodeID, group uint32, to raft.ServerAddress) (*testTransport, error) {
	server, err := membership.ParseServerID(string(to))
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if from != server.NodeID && (n.mute == from.Name || n.mute == server.Name) {
		return nil, errCut
	}
	return n.doors[door{group, to}], n.linkLocked(from, server.NodeID)
}

func (n *testNet) setMute(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute = name
}

func (n *testNet) setSlow(slow func(to membership.NodeID, command any) time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow = slow
}

func (n *testNet) linkLocked(from, to membership.NodeID) error {
	if n.cut[[2]string{from.Name, to.Name}] {
		return errCut
	}
	return nil
}

func (n *testNet) call(from membership.NodeID) Caller {
	return func(ctx context.Context, to membership.NodeID, method Method, payload []byte) ([]byte, error) {
		n.mu.Lock()
		var host *Host
		if node := n.nodes[to]; node != nil {
			host = node.host
		}
		err := n.linkLocked(from, to)
		n.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if host == nil {
			return nil, errCut
		}
		reply, err := host.Handle(ctx, from, method, payload)
		n.mu.Lock()
		defer n.mu.Unlock()
		return reply, errors.Join(err, n.linkLocked(to, from))
	}
}

// testTransport is Transport over the test network; RPCs are unary.
type testTransport struct {
	net      *testNet
	group    uint32
	self     membership.ServerID
	addr     raft.ServerAddress
	inbox    chan raft.RPC
	gap      func(membership.ServerID, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse) error
	rebase   atomic.Pointer[func(*raft.AppendEntriesRequest) *raft.AppendEntriesRequest]
	appended func(uint64, uint64, time.Time)
	gone     chan struct{}
	once     sync.Once
}

var (
	_ Transport        = (*testTransport)(nil)
	_ raft.WithPreVote = (*testTransport)(nil)
)

func (n *testNet) transport(group uint32, _ string, self membership.ServerID) (Transport, error) {
	t := &testTransport{
		net: n, group: group, self: self, addr: raft.ServerAddress(self.String()),
		inbox: make(chan raft.RPC, 64), gone: make(chan struct{}),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doors[door{group, t.addr}] = t
	return t, nil
}

func (t *testTransport) rpc(to raft.ServerAddress, command any, out func(any)) error {
	peer, err := t.net.door(t.self.NodeID, t.group, to)
	if err != nil {
		return err
	}
	if peer == nil {
		return fmt.Errorf("%s has not opened group %d", to, t.group)
	}
	answer, sent := make(chan raft.RPCResponse, 1), time.Now()
	delivered := command
	if a, ok := command.(*raft.AppendEntriesRequest); ok && t != peer {
		if rebase := peer.rebase.Load(); rebase != nil {
			delivered = (*rebase)(a)
		}
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	t.net.mu.Lock()
	slow := t.net.slow
	t.net.mu.Unlock()
	if slow != nil && t != peer {
		time.Sleep(slow(peer.self.NodeID, command))
	}
	select {
	case peer.inbox <- raft.RPC{Command: delivered, RespChan: answer}:
	case <-peer.gone:
		return errCut
	case <-t.gone:
		return errCut
	case <-timer.C:
		return errCut
	}
	select {
	case r := <-answer:
		if _, err := t.net.door(peer.self.NodeID, t.group, t.addr); err != nil {
			return err // the way back
		}
		if r.Error != nil {
			return r.Error
		}
		if a, ok := command.(*raft.AppendEntriesRequest); ok && a.PrevLogEntry+a.LeaderCommitIndex > 0 && r.Response.(*raft.AppendEntriesResponse).Success {
			peer.appended(a.Term, a.LeaderCommitIndex, sent)
		}
		out(r.Response)
		return nil
	case <-peer.gone:
		return errCut
	case <-t.gone:
		return errCut
	case <-timer.C:
		return errCut
	}
}

func (t *testTransport) Consumer() <-chan raft.RPC     { return t.inbox }
func (t *testTransport) LocalAddr() raft.ServerAddress { return t.addr }
func (t *testTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}
func (t *testTransport) AppendEntries(_ raft.ServerID, to raft.ServerAddress, a *raft.AppendEntriesRequest, r *raft.AppendEntriesResponse) error {
	return t.rpc(to, a, func(v any) { *r = *v.(*raft.AppendEntriesResponse) })
}
func (t *testTransport) RequestVote(_ raft.ServerID, to raft.ServerAddress, a *raft.RequestVoteRequest, r *raft.RequestVoteResponse) error {
	return t.rpc(to, a, func(v any) { *r = *v.(*raft.RequestVoteResponse) })
}
func (t *testTransport) RequestPreVote(_ raft.ServerID, to raft.ServerAddress, a *raft.RequestPreVoteRequest, r *raft.RequestPreVoteResponse) error {
	return t.rpc(to, a, func(v any) { *r = *v.(*raft.RequestPreVoteResponse) })
}
func (t *testTransport) InstallSnapshot(id raft.ServerID, _ raft.ServerAddress, a *raft.InstallSnapshotRequest, r *raft.InstallSnapshotResponse, _ io.Reader) error {
	peer, err := membership.ParseServerID(string(id))
	if err != nil {
		return err
	}
	return t.gap(peer, a, r)
}
func (t *testTransport) TimeoutNow(_ raft.ServerID, to raft.ServerAddress, a *raft.TimeoutNowRequest, r *raft.TimeoutNowResponse) error {
	return t.rpc(to, a, func(v any) { *r = *v.(*raft.TimeoutNowResponse) })
}
func (t *testTransport) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }
func (t *testTransport) DecodePeer(b []byte) raft.ServerAddress                  { return raft.ServerAddress(b) }
func (t *testTransport) SetHeartbeatHandler(func(raft.RPC))                      {}
func (t *testTransport) OnAppended(f func(uint64, uint64, time.Time))            { t.appended = f }
func (t *testTransport) OnGap(f func(membership.ServerID, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse) error) {
	t.gap = f
}
func (t *testTransport) OnAppend(f func(*raft.AppendEntriesRequest) *raft.AppendEntriesRequest) {
	t.rebase.Store(&f)
}
func (t *testTransport) Deliver(_ context.Context, request any) error {
	return t.rpc(t.addr, request, func(any) {})
}
func (t *testTransport) Close() error {
	t.once.Do(func() {
		close(t.gone)
		t.net.mu.Lock()
		defer t.net.mu.Unlock()
		if at := (door{t.group, t.addr}); t.net.doors[at] == t {
			delete(t.net.doors, at)
		}
	})
	return nil
}
