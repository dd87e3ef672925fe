package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// inspectForgotten is after how long an inspection ends, and its result is
	// forgotten, that nobody asks for. It is longer than an asker that hears nothing
	// tries.
	inspectForgotten = time.Minute
	// maxInspections bounds those of one node. Results give way to what is asked for
	// now.
	maxInspections = 256
	// maxKeptFindings bounds what all results that are kept have found.
	maxKeptFindings = 1 << 16
)

// inspections are those that run on this node, and the results of those that did.
type inspections struct {
	wg sync.WaitGroup

	mu     sync.Mutex
	of     map[inspectRequest]*inspection // guarded by mu
	closed bool                           // guarded by mu
}

type inspection struct {
	done   chan struct{}
	found  antientropy.Inspected // valid after done
	err    error                 // valid after done
	cancel context.CancelFunc

	// These are guarded by the list's lock.
	asked time.Time   // last
	timer *time.Timer // forgets it when nobody asks
	over  bool
	size  int // of found, in findings

	mu    sync.Mutex
	bytes int64 // guarded by mu
}

// begin finds the inspection, or starts it.
func (s *inspections) begin(q inspectRequest, run func(ctx context.Context, progress func(int64)) (antientropy.Inspected, error)) (*inspection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.of[q]; i != nil {
		i.asked = time.Now()
		i.timer.Reset(inspectForgotten)
		return i, nil
	}
	if s.closed {
		return nil, fmt.Errorf("inspect group %d: the node is shutting down", q.Group)
	}
	for len(s.of) >= maxInspections {
		if !s.dropOldestLocked() {
			return nil, fmt.Errorf("inspect group %d: %d inspections run on this node: %w", q.Group, len(s.of), ErrBusy)
		}
	}
	ctx, cancel := context.WithCancel(context.Background()) // its own life: questions come and go
	i := &inspection{done: make(chan struct{}), cancel: cancel, asked: time.Now()}
	i.timer = time.AfterFunc(inspectForgotten, func() { s.forget(q, i) })
	if s.of == nil {
		s.of = map[inspectRequest]*inspection{}
	}
	s.of[q] = i
	s.wg.Go(func() {
		defer close(i.done)
		i.found, i.err = run(ctx, i.progress)
		s.keep(i)
	})
	return i, nil
}

// keep makes room for what an inspection has found.
func (s *inspections) keep(i *inspection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.size = 1 + len(i.found.Bad) + len(i.found.Records) + len(i.found.Harmless) + len(i.found.Log)
	for kept := func() (sum int) {
		for _, x := range s.of {
			sum += x.size
		}
		return sum
	}; kept() > maxKeptFindings && s.dropOldestLocked(); {
	}
	i.over = true // its own result has to be told once at least
}

// dropOldestLocked forgets the result that was asked for last the longest ago.
func (s *inspections) dropOldestLocked() bool {
	var oldest *inspection
	var of inspectRequest
	for q, i := range s.of {
		if i.over && (oldest == nil || i.asked.Before(oldest.asked)) {
			oldest, of = i, q
		}
	}
	if oldest != nil {
		s.dropLocked(of, oldest)
	}
	return oldest != nil
}

func (i *inspection) progress(bytes int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.bytes += bytes
}

func (i *inspection) read() int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.bytes
}

// forget drops an inspection, unless it was asked for just now.
func (s *inspections) forget(q inspectRequest, i *inspection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(i.asked) >= inspectForgotten {
		s.dropLocked(q, i)
	}
}

// drop ends an inspection and forgets it.
func (s *inspections) drop(q inspectRequest, i *inspection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(q, i)
}

func (s *inspections) dropLocked(q inspectRequest, i *inspection) {
	i.cancel()
	i.timer.Stop()
	if s.of[q] == i {
		delete(s.of, q)
	}
}

// close ends all of them, and waits.
func (s *inspections) close() {
	s.mu.Lock()
	s.closed = true
	for q, i := range s.of {
		s.dropLocked(q, i)
	}
	s.mu.Unlock()
	s.wg.Wait()
}
