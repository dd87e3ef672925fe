package raftmux

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/membership"
)

// protocolOfRaft is what hashicorp/raft 1.7.3 speaks.
const protocolOfRaft = raft.ProtocolVersionMax

// Transport is one group's raft.Transport, with pre-votes and Close. Its
// addresses are server ids. It implements raft.Transport, raft.WithPreVote and
// raft.WithClose.
type Transport struct {
	mux     *Mux
	group   uint32
	lineage uint64
	self    membership.ServerID
	address []byte // self as text; never changed

	queue   chan raft.RPC   // what Raft consumes
	answers chan answerSlot // for what it consumed, in the same order
	closed  chan struct{}
	done    sync.WaitGroup

	mu        sync.Mutex // guards what follows, and the common order of queue and answers
	heartbeat func(raft.RPC)
	gap       func(membership.ServerID, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse) error
	rebase    func(*raft.AppendEntriesRequest) *raft.AppendEntriesRequest
	appended  func(term, leaderCommit uint64, sentAfter time.Time)
	routes    map[raft.ServerAddress]*route
	isClosed  bool
}

// route is a peer's replica of the group.
type route struct {
	peer       *peer
	generation uint32
	address    []byte
	behind     atomic.Bool // it may be: see late.go
}

// lineageTag is what stands for a lineage in a frame.
func lineageTag(lineage string) uint64 {
	sum := sha256.Sum256([]byte(lineage))
	return binary.BigEndian.Uint64(sum[:8])
}

// Transport opens the transport of a group's Raft instance. An older one of
// the same group is closed.
func (m *Mux) Transport(group uint32, lineage string, self membership.ServerID) *Transport {
	t := &Transport{
		mux: m, group: group, lineage: lineageTag(lineage), self: self, address: []byte(self.String()),
		queue:   make(chan raft.RPC, consumerQueue),
		answers: make(chan answerSlot, consumerQueue+8),
		closed:  make(chan struct{}),
		routes:  map[raft.ServerAddress]*route{},
	}
	m.mu.Lock()
	old := m.transports[group]
	if !m.closed {
		m.transports[group] = t
	}
	closed := m.closed
	m.mu.Unlock()
	if old != nil {
		old.Close()
	}
	t.done.Go(t.runAnswers)
	if closed {
		t.Close()
	}
	return t
}

// lookup finds the transport that a request is for.
func (m *Mux) lookup(h raftHeader) (*Transport, *RemoteError) {
	m.mu.RLock()
	t := m.transports[h.group]
	m.mu.RUnlock()
	switch {
	case t == nil:
		return nil, &RemoteError{CodeNotOpen, fmt.Sprintf("group %d is not open here", h.group)}
	case t.lineage != h.lineage:
		return nil, &RemoteError{CodeWrongLineage, fmt.Sprintf("group %d is of another lineage here", h.group)}
	case t.self.Generation != h.to:
		return nil, &RemoteError{CodeWrongServer, fmt.Sprintf("group %d is served by %s here, not by generation %d", h.group, t.self, h.to)}
	}
	return t, nil
}

// Consumer implements raft.Transport.
func (t *Transport) Consumer() <-chan raft.RPC { return t.queue }

// LocalAddr implements raft.Transport: the own server id.
func (t *Transport) LocalAddr() raft.ServerAddress { return raft.ServerAddress(t.address) }

// EncodePeer implements raft.Transport.
func (t *Transport) EncodePeer(_ raft.ServerID, addr raft.ServerAddress) []byte {
	if string(addr) == string(t.address) {
		return t.address
	}
	return []byte(addr)
}

// DecodePeer implements raft.Transport.
func (t *Transport) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler implements raft.Transport: heartbeats bypass the queue.
func (t *Transport) SetHeartbeatHandler(handler func(raft.RPC)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heartbeat = handler
}

func (t *Transport) heartbeatHandler() func(raft.RPC) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heartbeat
}

// OnGap sets what answers an InstallSnapshot of a data group, which is never
// sent: it is called with the peer that the log no longer reaches, whom it may
// ask over the stream. Its error is the answer to Raft, and wraps nothing of a
// deadline: it may take long, and then its owner ends it with the group.
func (t *Transport) OnGap(answer func(peer membership.ServerID, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gap = answer
}

// OnAppend sets what gives Raft the AppendEntries to see in place of one that has
// come in. Heartbeats are not shown to it. It is called by the reader of the
// stream and must not block.
func (t *Transport) OnAppend(rebase func(*raft.AppendEntriesRequest) *raft.AppendEntriesRequest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rebase = rebase
}

// toSee is the request that Raft is to see.
func (t *Transport) toSee(r *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	t.mu.Lock()
	rebase := t.rebase
	t.mu.Unlock()
	if rebase == nil {
		return r
	}
	return rebase(r)
}

// OnAppended sets who is told of each AppendEntries, heartbeats aside, that
// Raft has answered with success: the leader's term, its commit index, and a
// time here before which it did not know that index, as far as is known (zero:
// not known). It is called before the answer is sent and must not block.
func (t *Transport) OnAppended(appended func(term, leaderCommit uint64, sentAfter time.Time)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.appended = appended
}

func (t *Transport) noteAppended(term, leaderCommit uint64, sentAfter time.Time) {
	t.mu.Lock()
	appended := t.appended
	t.mu.Unlock()
	if appended != nil {
		appended(term, leaderCommit, sentAfter)
	}
}

// route finds the peer behind an address.
func (t *Transport) route(addr raft.ServerAddress) (*route, error) {
	t.mu.Lock()
	r, closed := t.routes[addr], t.isClosed
	t.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case r != nil:
		return r, nil
	}
	id, err := membership.ParseServerID(string(addr))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	p, err := t.mux.peer(id.NodeID)
	if err != nil {
		return nil, err
	}
	r = &route{peer: p, generation: id.Generation, address: []byte(addr)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.routes) >= maxSenderIDs {
		clear(t.routes)
	}
	t.routes[addr] = r
	return r, nil
}

// header begins a request along a route.
func (t *Transport) header(r *route, id uint64) raftHeader {
	return raftHeader{
		id: id, group: t.group, lineage: t.lineage,
		to: r.generation, from: t.self.Generation, protocol: uint8(protocolOfRaft),
	}
}

// ask sends a request and waits for its answer, at most until the deadline of
// Raft RPCs, which counts the time that the stream is waited for.
func (t *Transport) ask(addr raft.ServerAddress, f outFrame, answer any, encode func([]byte, *session, raftHeader) []byte) error {
	deadline := time.Now().Add(t.mux.timings.RaftDeadline)
	r, s, err := t.begin(addr, deadline)
	if err != nil {
		return err
	}
	return t.askOn(r, s, deadline, f, answer, encode)
}

// askOn is ask on an open stream.
func (t *Transport) askOn(r *route, s *session, deadline time.Time, f outFrame, answer any, encode func([]byte, *session, raftHeader) []byte) error {
	p := &pending{owner: t, answer: answer, from: r.address, deadline: deadline, done: make(chan struct{})}
	_, err := s.request(p, f, func(dst []byte, id uint64) []byte { return encode(dst, s, t.header(r, id)) })
	if err != nil {
		return err
	}
	<-p.done
	return p.err
}

// begin finds the open stream of an address. One that is not open is waited for.
func (t *Transport) begin(addr raft.ServerAddress, deadline time.Time) (*route, *session, error) {
	r, err := t.route(addr)
	if err != nil {
		return nil, nil, err
	}
	s, err := r.peer.out.open(t.closed, deadline, true)
	if err != nil {
		if r.peer.out.isEnded() {
			t.mu.Lock()
			delete(t.routes, addr) // the node was forgotten, and may be known anew
			t.mu.Unlock()
		}
		return nil, nil, err
	}
	return r, s, nil
}

// appendFrameOf says how an AppendEntries travels.
func (t *Transport) appendFrameOf(args *raft.AppendEntriesRequest) outFrame {
	f := outFrame{class: classNormal, lane: laneRaft, group: t.group, overtakes: isHeartbeat(args)}
	if len(args.Entries) == 0 {
		f.class = classLazy
	}
	return f
}

// checkAppend refuses what the peer would refuse.
func checkAppend(args *raft.AppendEntriesRequest) error {
	if len(args.Entries) > maxEntries || appendSize(args) > maxRaftFrame-1024 {
		return fmt.Errorf("%w: AppendEntries of %d entries", ErrTooLarge, len(args.Entries))
	}
	return nil
}

// RequestVote implements raft.Transport.
func (t *Transport) RequestVote(_ raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.ask(target, t.plainFrame(), resp, func(dst []byte, _ *session, h raftHeader) []byte { return appendVote(dst, h, args) })
}

// RequestPreVote implements raft.WithPreVote.
func (t *Transport) RequestPreVote(_ raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return t.ask(target, t.plainFrame(), resp, func(dst []byte, _ *session, h raftHeader) []byte { return appendPreVote(dst, h, args) })
}

// TimeoutNow implements raft.Transport.
func (t *Transport) TimeoutNow(_ raft.ServerID, target raft.ServerAddress, _ *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.ask(target, t.plainFrame(), resp, func(dst []byte, _ *session, h raftHeader) []byte { return appendRaftHeader(dst, kindTimeoutNow, h) })
}

func (t *Transport) plainFrame() outFrame {
	return outFrame{class: classNormal, lane: laneRaft, group: t.group}
}

// InstallSnapshot implements raft.Transport. Of a data group nothing crosses the
// wire: the owner answers in the peer's place, and an error is the gap alarm.
func (t *Transport) InstallSnapshot(_ raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if t.group == MetaGroup {
		return t.sendSnapshot(target, args, resp, data)
	}
	id, err := membership.ParseServerID(string(target))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	t.mu.Lock()
	answer := t.gap
	t.mu.Unlock()
	if answer == nil {
		return fmt.Errorf("%w: %s of group %d needs an entry at or below %d", ErrGap, id, t.group, args.LastLogIndex)
	}
	if err := answer(id, args, resp); err != nil {
		return fmt.Errorf("%w: %w", ErrGap, err)
	}
	return nil
}

// Campaign makes the own Raft instance start an election now: a local
// TimeoutNow. Raft checks neither state nor suffrage: the caller must, under
// the lock that orders this with its watch of both.
func (t *Transport) Campaign(ctx context.Context) error {
	header := raft.RPCHeader{ProtocolVersion: protocolOfRaft, ID: t.address, Addr: t.address}
	return t.Deliver(ctx, &raft.TimeoutNowRequest{RPCHeader: header})
}

// Deliver hands a request of the owner to the own Raft instance, as if it had
// come from a peer, and returns when Raft has answered it.
func (t *Transport) Deliver(ctx context.Context, request any) error {
	answer := make(chan raft.RPCResponse, 1)
	select {
	case t.queue <- raft.RPC{Command: request, RespChan: answer}:
	case <-t.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case r := <-answer:
		return r.Error
	case <-t.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close takes the group off the Mux and fails its waiting RPCs. Raft calls it
// when its shutdown is over; call it before waiting for raft.Shutdown, or that
// may wait for RPCs' deadlines.
func (t *Transport) Close() error {
	t.mux.mu.Lock()
	if t.mux.transports[t.group] == t {
		delete(t.mux.transports, t.group)
	}
	t.mux.mu.Unlock()
	t.mu.Lock()
	first := !t.isClosed
	t.isClosed = true
	t.mu.Unlock()
	if first {
		close(t.closed)
	}
	for _, p := range t.mux.allPeers() {
		if s := p.out.session.Load(); s != nil {
			for _, waiting := range s.drop(func(p *pending) bool { return p.owner == t }) {
				waiting.finish(fmt.Errorf("group %d: %w", t.group, ErrClosed))
			}
		}
	}
	t.done.Wait()
	return nil
}
