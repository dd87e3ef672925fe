package raftmux

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// CallOption changes how one Call travels.
type CallOption uint8

// Urgent: everything to and from that peer leaves at once while this call
// waits, because a reader waits for it.
const Urgent CallOption = 1

// Call asks a peer (or, directly, this node) and waits for its answer.
//
// Errors: ErrUnreachable, ErrBusy, ErrTooLarge, ErrClosed: certainly not
// executed. ErrBroken: unknown; it also wraps the context's error when that is
// why. A peer that falls silent ends the calls to it: one that hangs must not
// hold a request for its whole deadline. *RemoteError: the peer answered an error, see its Executed.
func (m *Mux) Call(ctx context.Context, to membership.NodeID, method Method, payload []byte, options ...CallOption) ([]byte, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(payload))
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.timings.CallDeadline)
		defer cancel()
	}
	if to == m.config.Local {
		return m.callLocal(ctx, method, payload)
	}
	p, err := m.peer(to)
	if err != nil {
		return nil, err
	}
	s, err := p.out.open(ctx.Done(), time.Time{}, false)
	if err != nil {
		return nil, err
	}
	if p.silence() >= m.timings.Silent { // it would wait for one that hangs
		return nil, unreachable(p, errSilent)
	}
	urgent := len(options) > 0 && options[0] == Urgent
	if urgent {
		s.sender.setUrgent(1)
		defer s.sender.setUrgent(-1)
	}
	request := &pending{done: make(chan struct{})}
	id, err := s.sendCall(ctx, request, method, urgent, payload)
	if err != nil {
		return nil, err
	}
	select {
	case <-request.done:
		return request.payload, request.err
	case <-ctx.Done():
	}
	if s.remove(id) == nil {
		<-request.done // was answered just now
		return request.payload, request.err
	}
	// Best effort: the peer's handler sees its context end.
	s.sender.add(outFrame{bytes: binary.AppendUvarint([]byte{kindCancel}, id), class: classSoon, lane: laneCall}, maxQueueBytes, nil)
	return nil, broken(p, ctx.Err())
}

// sendCall sends a call, waiting for room in the queue.
func (s *session) sendCall(ctx context.Context, request *pending, method Method, urgent bool, payload []byte) (uint64, error) {
	frame := outFrame{class: classNormal, lane: laneCall}
	if urgent {
		frame.class = classNow
	}
	for {
		deadline, _ := ctx.Deadline()
		h := callHeader{method: method, urgent: urgent, timeout: time.Until(deadline)}
		if h.timeout <= 0 {
			return 0, unreachable(s.peer, context.DeadlineExceeded)
		}
		id, err := s.request(request, frame, func(dst []byte, id uint64) []byte {
			h.id = id
			return appendCall(dst, h, payload)
		})
		if !errors.Is(err, ErrBusy) || s.callsFull() {
			return id, err
		}
		select {
		case <-s.sender.waitRoom():
		case <-ctx.Done():
			return 0, err
		}
	}
}

// callsFull reports whether the bound is the number of calls, not of bytes.
func (s *session) callsFull() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls >= maxCalls
}

// call starts the handler of a call that came in.
func (in *inLink) call(ctx context.Context, f *fields, owned bool) error {
	h, payload, err := readCall(f)
	if err != nil {
		return err
	}
	handler := in.mux.handlers.of(h.method)
	switch {
	case handler == nil:
		return in.refuse(h.id, CodeNoMethod, fmt.Sprintf("no method %d", h.method))
	case h.timeout == 0:
		return in.refuse(h.id, CodeExpired, "the deadline had passed on arrival")
	}
	callContext, cancel := context.WithTimeout(ctx, h.timeout)
	if !in.running(h.id, cancel) {
		cancel()
		return nil // the link has ended
	}
	if h.urgent {
		in.sender.setUrgent(1)
	}
	job := callJob{link: in, ctx: callContext, header: h, handler: handler, payload: ownedBytes(payload, owned)}
	if !in.mux.handlers.start(job) {
		job.end()
		return in.refuse(h.id, CodeBusy, "too many calls wait for a handler")
	}
	return nil
}

// running notes a call, so that a cancel finds it.
func (in *inLink) running(id uint64, cancel context.CancelFunc) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil {
		return false
	}
	in.cancels[id] = cancel
	return true
}

// callJob is a call that waits for, or runs in, a handler's goroutine.
type callJob struct {
	link    *inLink
	ctx     context.Context // of this one call
	header  callHeader
	handler HandlerFunc
	payload []byte
}

// run calls the handler and answers.
func (j callJob) run() {
	var frame []byte
	if j.ctx.Err() != nil {
		frame = appendFailed(nil, j.header.id, CodeExpired, "the deadline passed, or the call was cancelled, before it ran")
	} else {
		frame = j.execute()
	}
	j.link.answer(frame, j.class(), nil)
	j.end()
}

func (j callJob) execute() []byte {
	payload, err := j.handler(j.ctx, j.link.peer.id, j.payload)
	switch {
	case err != nil:
		failed := failedOf(err)
		return appendFailed(nil, j.header.id, failed.Code, failed.Text)
	case len(payload) > MaxPayload:
		return appendFailed(nil, j.header.id, CodeHandler, fmt.Sprintf("answer of %d bytes is too large", len(payload)))
	}
	return appendCalled(make([]byte, 0, len(payload)+16), j.header.id, payload)
}

// failedOf gives the error that the caller sees for a handler's error. A code
// of raftmux itself, from a call that the handler made in turn, would say "not
// executed" of this one: it becomes CodeHandler.
func failedOf(err error) *RemoteError {
	var own *RemoteError
	if errors.As(err, &own) && own.Code >= CodeUser {
		return &RemoteError{own.Code, own.Text}
	}
	return &RemoteError{CodeHandler, cleanText(err.Error())}
}

func (j callJob) class() class {
	if j.header.urgent {
		return classNow
	}
	return classNormal
}

// end takes the call off its link's books.
func (j callJob) end() {
	j.link.mu.Lock()
	cancel := j.link.cancels[j.header.id]
	delete(j.link.cancels, j.header.id)
	j.link.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if j.header.urgent {
		j.link.sender.setUrgent(-1)
	}
}
