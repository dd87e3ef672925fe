package raftmux

import (
	"context"
	"fmt"
	"sync"

	"github.com/flotilla-db/flotilla/membership"
)

// Method names a handler. Zero is not a method.
type Method uint8

// HandlerFunc answers calls of one method. The payload is only lent. The
// context ends with the caller's deadline, its cancellation or its stream; a
// handler must end soon after, since its goroutine is one of maxHandlers.
type HandlerFunc func(ctx context.Context, from membership.NodeID, payload []byte) ([]byte, error)

// handlers runs the calls that come in, in a bounded number of goroutines.
type handlers struct {
	closing    <-chan struct{}
	goroutines *sync.WaitGroup

	mu      sync.RWMutex // guards what follows
	methods map[Method]HandlerFunc
	running int            // goroutines, parked ones included: at most maxHandlers
	parked  []chan callJob // each waits for a job: at most idleHandlers
	queue   []callJob      // waits for a goroutine: at most handlerQueue
}

func (h *handlers) init(closing <-chan struct{}, goroutines *sync.WaitGroup) {
	h.closing, h.goroutines = closing, goroutines
	h.methods = map[Method]HandlerFunc{}
}

// Handle sets the handler of a method. Set it before the first call of it.
func (m *Mux) Handle(method Method, handler HandlerFunc) {
	m.handlers.mu.Lock()
	defer m.handlers.mu.Unlock()
	m.handlers.methods[method] = handler
}

func (h *handlers) of(method Method) HandlerFunc {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.methods[method]
}

// callLocal runs the handler in the caller's goroutine, which bounds it.
func (m *Mux) callLocal(ctx context.Context, method Method, payload []byte) ([]byte, error) {
	select {
	case <-m.closing:
		return nil, ErrClosed
	default:
	}
	handler := m.handlers.of(method)
	if handler == nil {
		return nil, &RemoteError{CodeNoMethod, fmt.Sprintf("no method %d", method)}
	}
	answer, err := handler(ctx, m.config.Local, payload)
	if err != nil {
		return nil, failedOf(err) // as it would look from another node
	}
	return answer, nil
}

// start gives a job to a goroutine, or queues it: false when as many wait as
// may.
func (h *handlers) start(job callJob) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch last := len(h.parked) - 1; {
	case last >= 0:
		h.parked[last] <- job // has room: a parked goroutine is sent one job
		h.parked = h.parked[:last]
	case h.running < maxHandlers:
		h.running++
		h.goroutines.Go(func() { h.work(job) }) // the link's reader is counted: Close still waits
	case len(h.queue) < handlerQueue:
		h.queue = append(h.queue, job)
	default:
		return false
	}
	return true
}

// work runs jobs until none waits and enough other goroutines are parked.
func (h *handlers) work(job callJob) {
	jobs := make(chan callJob, 1)
	for {
		job.run()
		var more, park bool
		if job, more, park = h.next(jobs); more {
			continue
		}
		if !park {
			return
		}
		select {
		case job = <-jobs:
		case <-h.closing:
			return
		}
	}
}

// next takes a job that waits, or parks the goroutine, or lets it go.
func (h *handlers) next(jobs chan callJob) (job callJob, more, park bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) > 0 {
		job = h.queue[0]
		h.queue[0] = callJob{}
		h.queue = h.queue[1:]
		return job, true, false
	}
	if len(h.parked) >= idleHandlers {
		h.running--
		return callJob{}, false, false
	}
	h.parked = append(h.parked, jobs)
	return callJob{}, false, true
}
