package raftmux

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// Raft 1.7.3 is bad at peers that are late. After an error it asks again at its
// commit timeout at the earliest, and leaves the peer alone for up to 10 s. In a
// pipeline it sends one AppendEntries of at most fullAppend entries at each
// wake-up: a peer that is thousands behind gets so many a second when nothing is
// written. And it goes into a pipeline once all is sent that it knew of when it
// began, however long that took. So an AppendEntries is tried again here, and a
// peer that may be behind gets no pipeline.

const (
	// fullAppend is Raft's MaxAppendEntries: one with as many entries is probably
	// followed by more. Another figure costs speed only.
	fullAppend = 64
	// lateAppend is how long an AppendEntries may take before entries that came
	// meanwhile count as many.
	lateAppend = 100 * time.Millisecond
	// openPause and openPauseMax bound the pause between two questions whether a
	// group has been opened; it is a sixteenth of the time that has passed.
	openPause    = 20 * time.Millisecond
	openPauseMax = time.Second

	// smallAppend is what an AppendEntries may hold that waits for its peer in any
	// case; all larger ones of a node that wait share waitingAppends.
	smallAppend    = 64 << 10
	waitingAppends = 32 << 20
)

var errBehind = errors.New("the peer is behind: one request at a time")

// AppendEntries implements raft.Transport. One with entries, or that asks what
// the peer has, waits for a peer that is gone, that has not opened the group yet
// or that does not answer in time, up to Timings.AppendWait. A heartbeat, which is
// what counts as contact, does not wait.
func (t *Transport) AppendEntries(_ raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := checkAppend(args); err != nil {
		return err
	}
	a := lateAppendEntries{t: t, target: target, args: args}
	r, err := t.route(target)
	if err == nil {
		a.clock = r.peer.out.known() // before anything waits: args are as old as this
	}
	if isHeartbeat(args) {
		return a.once(resp, time.Now().Add(t.mux.timings.RaftDeadline))
	}
	began := time.Now()
	err = a.send(resp, began)
	if r != nil && (err != nil || len(args.Entries) >= fullAppend || time.Since(began) > lateAppend) {
		r.behind.Store(true)
	}
	return err
}

// lateAppendEntries is one AppendEntries that may be tried several times.
type lateAppendEntries struct {
	t      *Transport
	target raft.ServerAddress
	args   *raft.AppendEntriesRequest
	clock  known
}

// once waits for the stream until then, and for the answer as long as any Raft
// RPC.
func (a *lateAppendEntries) once(resp *raft.AppendEntriesResponse, until time.Time) error {
	r, s, err := a.t.begin(a.target, until)
	if err != nil {
		return err
	}
	return a.on(r, s, a.args, resp)
}

func (a *lateAppendEntries) on(r *route, s *session, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	deadline := time.Now().Add(a.t.mux.timings.RaftDeadline)
	return a.t.askOn(r, s, deadline, a.t.appendFrameOf(args), resp, func(dst []byte, s *session, h raftHeader) []byte {
		return appendAppend(dst, h, a.clock.on(s), args)
	})
}

// send tries until it is answered, or the time is over.
func (a *lateAppendEntries) send(resp *raft.AppendEntriesResponse, began time.Time) error {
	timings := &a.t.mux.timings
	giveBack, waits := a.t.mux.mayWait(appendSize(a.args))
	defer giveBack()
	if !waits {
		return a.once(resp, began.Add(timings.RaftDeadline))
	}
	giveUp := began.Add(max(timings.RaftDeadline, timings.AppendWait))
	for {
		err := a.once(resp, giveUp)
		if err == nil {
			return nil
		}
		for ; err != nil; err = a.probe(giveUp) {
			if !passes(err) || !time.Now().Before(giveUp) || !a.rest(began) {
				return err
			}
		}
	}
}

// probe asks with a heartbeat whether the group answers: it is small.
func (a *lateAppendEntries) probe(until time.Time) error {
	r, s, err := a.t.begin(a.target, until)
	if err != nil {
		return err
	}
	heartbeat := &raft.AppendEntriesRequest{RPCHeader: a.args.RPCHeader, Term: a.args.Term}
	return a.on(r, s, heartbeat, &raft.AppendEntriesResponse{})
}

// rest pauses before the next try; false when the transport closes.
func (a *lateAppendEntries) rest(began time.Time) bool {
	timer := time.NewTimer(min(max(time.Since(began)/16, openPause), openPauseMax))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.t.closed:
		return false
	}
}

// passes reports whether an AppendEntries that failed may succeed by itself. Sent
// twice it does what it does once.
func passes(err error) bool {
	var remote *RemoteError
	if errors.As(err, &remote) {
		return remote.Code == CodeNotOpen
	}
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBroken)
}

// mayWait reports whether an AppendEntries of so many bytes may wait for its peer.
// Call giveBack in any case.
func (m *Mux) mayWait(size int) (giveBack func(), ok bool) {
	if size <= smallAppend {
		return func() {}, true
	}
	if m.waiting.Add(int64(size)) > waitingAppends {
		m.waiting.Add(-int64(size))
		return func() {}, false
	}
	return func() { m.waiting.Add(-int64(size)) }, true
}
