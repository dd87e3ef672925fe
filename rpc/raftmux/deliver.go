package raftmux

import (
	"time"

	"github.com/hashicorp/raft"
)

// answerSlot is where the answer to a delivered RPC goes.
type answerSlot struct {
	link      *inLink
	id        uint64
	class     class
	ch        chan raft.RPCResponse
	commit    uint64    // the leader's, of an AppendEntries
	sentAfter time.Time // of an AppendEntries: see echo.go; zero: not known
	after     func()    // called when the answer is there, or the transport closes; may be nil
}

// deliver queues an RPC for the group's Raft instance: false when its queue is
// full. Raft answers RPCs in the order in which it consumed them, so one
// goroutine a group waits for all its answers; each has a channel of its own,
// so that an answer can never be taken for another's.
func (t *Transport) deliver(rpc raft.RPC, slot answerSlot) bool {
	slot.ch = make(chan raft.RPCResponse, 1)
	rpc.RespChan = slot.ch
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isClosed || len(t.answers) == cap(t.answers) {
		return false
	}
	select {
	case t.queue <- rpc:
	default:
		return false
	}
	t.answers <- slot // has room: only deliver adds, under mu
	return true
}

// runAnswers sends what Raft answers until the transport closes.
func (t *Transport) runAnswers() {
	var frame []byte
	for {
		var slot answerSlot
		select {
		case slot = <-t.answers:
		case <-t.closed:
			t.drainAnswers()
			return
		}
		select {
		case a := <-slot.ch:
			if r, ok := a.Response.(*raft.AppendEntriesResponse); ok && a.Error == nil && r.Success {
				t.noteAppended(r.Term, slot.commit, slot.sentAfter)
			}
			frame = appendRaftAnswer(frame[:0], slot.id, a.Response, a.Error)
			slot.finish(frame, t.closed)
		case <-t.closed:
			slot.finish(appendFailed(nil, slot.id, CodeNotOpen, "the group is closing"), t.closed)
			t.drainAnswers()
			return
		}
	}
}

// finish sends the answer.
func (s answerSlot) finish(frame []byte, stop <-chan struct{}) {
	if s.after != nil {
		s.after()
	}
	s.link.answer(frame, s.class, stop)
}

// drainAnswers refuses what was delivered and not answered. deliver adds
// nothing any more: isClosed was set before closed was closed.
func (t *Transport) drainAnswers() {
	for {
		select {
		case slot := <-t.answers:
			slot.finish(appendFailed(nil, slot.id, CodeNotOpen, "the group is closing"), t.closed)
		default:
			return
		}
	}
}
