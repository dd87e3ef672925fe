package raftmux

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// PeerState is what is known of a peer at one moment.
type PeerState struct {
	Connected bool          // our stream to it is open
	Refused   bool          // the last dial was refused, or another incarnation answered: that process is dead
	Heard     bool          // there was a frame from it since the Mux began
	Silent    time.Duration // since the last frame from it, on either stream; 0 if there never was one
}

// PeerEvent is a change of a peer.
type PeerEvent uint8

// Events. Down: the stream broke and a redial was refused. Silent: nothing was
// heard for Timings.Silent. Back: heard again after either.
const (
	PeerDown PeerEvent = iota + 1
	PeerSilent
	PeerBack
)

// String gives the event's word.
func (e PeerEvent) String() string {
	switch e {
	case PeerDown:
		return "down"
	case PeerSilent:
		return "silent"
	case PeerBack:
		return "back"
	}
	return "unknown"
}

// peer is one other node: the link to it, the link from it, and what is known
// of its life.
type peer struct {
	id  membership.NodeID
	mux *Mux
	out *outLink

	heard atomic.Int64 // mux clock of the last message, ns; 0: never

	mu     sync.Mutex // guards what follows
	in     *inLink    // newest stream from the peer
	wasUp  bool       // a stream to it was open once
	down   bool       // PeerDown was the last word
	silent bool       // PeerSilent was the last word
}

// heardNow notes a message of n bytes.
func (p *peer) heardNow(n int) {
	p.heard.Store(int64(p.mux.clock()))
	p.mux.counters.messagesIn.Add(1)
	p.mux.counters.bytesIn.Add(uint64(n))
}

// silence gives the time since the last message, 0 if there never was one.
func (p *peer) silence() time.Duration {
	heard := p.heard.Load()
	if heard == 0 {
		return 0
	}
	return max(0, p.mux.clock()-time.Duration(heard))
}

// refused notes that a dial was refused, or that another node answered.
func (p *peer) refused() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wasUp && !p.down {
		p.down, p.silent = true, false
		p.mux.events.add(p.id, PeerDown)
	}
}

// isUp notes that our stream to the peer is open.
func (p *peer) isUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wasUp = true
	p.back()
}

// back is called with mu held.
func (p *peer) back() {
	if p.down || p.silent {
		p.down, p.silent = false, false
		p.mux.events.add(p.id, PeerBack)
	}
}

// tick is the peer's part of the Mux's clock: deadlines, pings, silence.
func (p *peer) tick(now time.Time) {
	silence := p.silence()
	t := p.mux.timings
	if s := p.out.session.Load(); s != nil {
		s.expire(now)
		if silence >= t.Break {
			p.out.breakConn(errSilent)
		} else {
			s.sender.add(outFrame{bytes: pingFrame, class: classLazy, lane: laneCall}, hardQueueBytes, nil)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in != nil && silence >= t.Break {
		p.in.fail(errSilent)
		p.in = nil
	}
	switch {
	case silence >= t.Silent && !p.silent && !p.down:
		p.silent = true
		p.mux.events.add(p.id, PeerSilent)
		if s := p.out.session.Load(); s != nil {
			s.breakCalls(errSilent)
		}
	case silence < t.Silent && p.silent && p.out.session.Load() != nil:
		p.back()
	}
}

var pingFrame = []byte{kindPing}

// adopt makes in the peer's incoming link; an older one ends.
func (p *peer) adopt(in *inLink) {
	p.mu.Lock()
	old := p.in
	p.in = in
	p.mu.Unlock()
	if old != nil {
		old.fail(errReplaced)
	}
	p.out.redialNow()
}

// release forgets in when it is still the newest.
func (p *peer) release(in *inLink) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in == in {
		p.in = nil
	}
}

// events hands peer events to observers, one at a time and outside all locks.
// A peer has at most one event waiting, the newest: the queue is bounded by
// the number of peers.
type events struct {
	kick chan struct{} // capacity 1

	mu        sync.Mutex // guards what follows
	waiting   map[membership.NodeID]PeerEvent
	order     []membership.NodeID
	observers []func(membership.NodeID, PeerEvent)
}

func (e *events) add(id membership.NodeID, event PeerEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.waiting[id]; !ok {
		e.order = append(e.order, id)
	}
	e.waiting[id] = event
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// next takes the oldest event that waits.
func (e *events) next() (id membership.NodeID, event PeerEvent, observers []func(membership.NodeID, PeerEvent), ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.order) == 0 {
		return id, 0, nil, false
	}
	id = e.order[0]
	e.order = e.order[1:]
	event = e.waiting[id]
	delete(e.waiting, id)
	return id, event, e.observers, true
}

// run calls the observers until done is closed.
func (e *events) run(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-e.kick:
		}
		for {
			id, event, observers, ok := e.next()
			if !ok {
				break
			}
			for _, observe := range observers {
				observe(id, event)
			}
		}
	}
}
