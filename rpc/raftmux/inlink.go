package raftmux

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/hashicorp/raft"
)

// inLink is one stream from a peer: its requests, our answers.
type inLink struct {
	mux      *Mux
	began    time.Time // of the clock whose readings the peer echoes
	peer     *peer     // set by the handshake, before welcomed is closed
	sender   *sender
	welcomed chan struct{} // closed when the peer is known
	stop     chan struct{} // closed by fail

	heartbeats chan heartbeat
	senders    map[uint32][]byte // generation -> server id of the peer; the reader's
	parts      assembler         // the reader's

	mu        sync.Mutex // guards what follows
	err       error
	cancels   map[uint64]context.CancelFunc // of the calls that run
	snapshots map[uint64]*snapshotReader    // by the id of their request
}

// heartbeat waits for the Raft instance's heartbeat handler.
type heartbeat struct {
	transport *Transport
	id        uint64
	request   *raft.AppendEntriesRequest
}

func newInLink(m *Mux) *inLink {
	return &inLink{
		mux:        m,
		began:      time.Now(),
		sender:     newSender(m.timings, &m.counters),
		welcomed:   make(chan struct{}),
		stop:       make(chan struct{}),
		heartbeats: make(chan heartbeat, heartbeatQueue),
		senders:    map[uint32][]byte{},
		cancels:    map[uint64]context.CancelFunc{},
		snapshots:  map[uint64]*snapshotReader{},
	}
}

// run does the handshake and reads until the stream ends.
func (in *inLink) run(st grpc.ServerStream) error {
	id, err := in.mux.acceptHandshake(st)
	if err != nil {
		in.mux.log.Debug("stream from peer refused", "peer", id.String(), "error", err)
		return err
	}
	if in.peer, err = in.mux.peer(id); err != nil {
		sendFrame(st, appendRefuse(nil, &refusedError{refuseCrowded, err.Error()}))
		return err
	}
	if err := sendFrame(st, []byte{kindWelcome}); err != nil {
		return err
	}
	in.peer.heardNow(0)
	in.peer.adopt(in)
	defer in.peer.release(in)
	close(in.welcomed)

	var others sync.WaitGroup
	others.Go(func() { in.fail(in.sender.run(func(m *outMessage) error { return st.SendMsg(m) })) })
	others.Go(in.runHeartbeats)
	err = in.read(st)
	in.fail(err)
	others.Wait()
	return err
}

// fail ends the link, once; the first reason stays.
func (in *inLink) fail(err error) {
	in.mu.Lock()
	if in.err != nil {
		in.mu.Unlock()
		return
	}
	in.err = err
	cancels, snapshots := in.cancels, in.snapshots
	in.cancels, in.snapshots = nil, nil
	in.mu.Unlock()
	close(in.stop)
	in.sender.close(err)
	for _, cancel := range cancels {
		cancel()
	}
	for _, s := range snapshots {
		s.abort()
	}
}

func (in *inLink) reason() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.err
}

// read takes requests until the stream ends. It never waits for a group or a
// handler.
func (in *inLink) read(st grpc.ServerStream) error {
	var message inMessage
	ctx := st.Context()
	handle := func(kind byte, body []byte, owned bool) error { return in.request(ctx, kind, body, owned) }
	for {
		if err := st.RecvMsg(&message); err != nil {
			return err
		}
		in.peer.heardNow(len(message.bytes()))
		err := eachFrame(message.bytes(), &in.mux.counters, handle)
		message.free()
		if err != nil {
			return err
		}
	}
}

// request handles one frame.
func (in *inLink) request(ctx context.Context, kind byte, body []byte, owned bool) error {
	f := &fields{rest: body}
	switch kind {
	case kindPing:
		return in.answerNow(appendPong(nil, readingAt(in.began, time.Now())), classSoon)
	case kindHeartbeat, kindAppend, kindVote, kindPreVote, kindTimeoutNow, kindSnapshot:
		return in.raftRequest(kind, f, owned)
	case kindChunk:
		return in.chunk(f)
	case kindCall:
		return in.call(ctx, f, owned)
	case kindCancel:
		in.cancelRequest(f.uvarint())
		return f.err()
	case kindFragment:
		if owned {
			break // a fragment within fragments
		}
		frame, err := in.parts.add(body)
		if err != nil || frame == nil {
			return err
		}
		return in.request(ctx, frame[0], frame[1:], true)
	}
	return fmt.Errorf("%w: kind %d is no request", errMalformed, kind)
}

// raftRequest hands a Raft request to its group, or answers why not.
func (in *inLink) raftRequest(kind byte, f *fields, owned bool) error {
	h := readRaftHeader(f)
	if f.bad {
		return errMalformed
	}
	t, refusal := in.mux.lookup(h)
	if refusal != nil {
		return in.refuse(h.id, refusal.Code, refusal.Text)
	}
	from := in.senderID(h.from)
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersion(h.protocol), ID: from, Addr: from}
	var command any
	var err error
	slot := answerSlot{link: in, id: h.id, class: classNormal}
	switch kind {
	case kindHeartbeat:
		return in.heartbeat(t, h.id, &raft.AppendEntriesRequest{RPCHeader: header, Term: f.uvarint()}, f)
	case kindAppend:
		var r *raft.AppendEntriesRequest
		var echoed reading
		if r, echoed, err = readAppend(f, owned); err == nil {
			r.RPCHeader = header
			slot.commit, slot.sentAfter = r.LeaderCommitIndex, echoed.time(in.began, time.Now())
			if len(r.Entries) == 0 {
				slot.class = classSoon
			}
		}
		if err == nil {
			command = t.toSee(r)
		}
	case kindVote:
		var r *raft.RequestVoteRequest
		r, err = readVote(f)
		r.RPCHeader = header
		command = r
	case kindPreVote:
		var r *raft.RequestPreVoteRequest
		r, err = readPreVote(f)
		r.RPCHeader = header
		command = r
	case kindTimeoutNow:
		command, err = &raft.TimeoutNowRequest{RPCHeader: header}, f.err()
	case kindSnapshot:
		return in.snapshot(t, h, f, header)
	}
	if err != nil {
		return err
	}
	if !t.deliver(raft.RPC{Command: command}, slot) {
		return in.refuse(h.id, CodeBusy, "the group's queue is full")
	}
	return nil
}

// senderID gives the server id of the peer's replica of a generation.
func (in *inLink) senderID(generation uint32) []byte {
	if id, ok := in.senders[generation]; ok {
		return id
	}
	if len(in.senders) >= maxSenderIDs {
		clear(in.senders)
	}
	id := []byte(in.peer.id.Server(generation).String())
	in.senders[generation] = id
	return id
}

// heartbeat queues a heartbeat beside the group's own queue: a disk that the
// group waits for must not delay it.
func (in *inLink) heartbeat(t *Transport, id uint64, r *raft.AppendEntriesRequest, f *fields) error {
	if err := f.err(); err != nil {
		return err
	}
	select {
	case in.heartbeats <- heartbeat{t, id, r}:
		return nil
	default:
		return in.refuse(id, CodeBusy, "too many heartbeats wait")
	}
}

// runHeartbeats calls the heartbeat handlers, in the order of arrival.
func (in *inLink) runHeartbeats() {
	answers := make(chan raft.RPCResponse, 1)
	var frame []byte
	for {
		var h heartbeat
		select {
		case <-in.stop:
			return
		case h = <-in.heartbeats:
		}
		rpc := raft.RPC{Command: h.request, RespChan: answers}
		handler := h.transport.heartbeatHandler()
		if handler == nil {
			if !h.transport.deliver(raft.RPC{Command: h.request}, answerSlot{link: in, id: h.id, class: classSoon}) {
				in.refuse(h.id, CodeBusy, "the group's queue is full")
			}
			continue
		}
		handler(rpc)
		select {
		case a := <-answers:
			frame = appendRaftAnswer(frame[:0], h.id, a.Response, a.Error)
		default: // it answers before it returns, unless it is shut down
			frame = appendFailed(frame[:0], h.id, CodeNotOpen, "the group is closing")
		}
		if !in.answer(frame, classSoon, h.transport.closed) {
			return
		}
	}
}

// refuse answers an error, from the reader.
func (in *inLink) refuse(id uint64, code Code, text string) error {
	return in.answerNow(appendFailed(nil, id, code, text), classNormal)
}

// answerNow queues an answer without waiting for room: a peer that sends
// requests and reads no answers loses its stream.
func (in *inLink) answerNow(frame []byte, c class) error {
	err := in.sender.add(outFrame{bytes: frame, class: c, lane: laneCall}, hardQueueBytes, nil)
	if errors.Is(err, ErrBusy) {
		return errors.New("the peer does not read its answers")
	}
	return err
}

// answer queues an answer, waiting for room; false when the link or the
// answering side has ended. The frame is only lent, unless it is large.
func (in *inLink) answer(frame []byte, c class, stop <-chan struct{}) bool {
	for {
		err := in.sender.add(outFrame{bytes: frame, class: c, lane: laneCall}, maxQueueBytes, nil)
		if !errors.Is(err, ErrBusy) {
			return err == nil
		}
		select {
		case <-in.sender.waitRoom():
		case <-in.stop:
			return false
		case <-stop:
			return false
		}
	}
}

// cancelRequest ends a call or a snapshot whose caller has given up.
func (in *inLink) cancelRequest(id uint64) {
	in.mu.Lock()
	cancel, snapshot := in.cancels[id], in.snapshots[id]
	in.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if snapshot != nil {
		snapshot.abort()
	}
}

// ownedBytes gives bytes that stay when the frame is gone.
func ownedBytes(b []byte, owned bool) []byte {
	if owned {
		return b
	}
	return slices.Clone(b)
}
