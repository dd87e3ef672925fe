package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// Reading all that a replica has takes as long as its disk and the rate allow.
// So an inspection is begun by the first question for it and goes on beside;
// further questions wait for a while and learn how far it is. One that nobody
// asks for ends.
const (
	// inspectWait bounds how long one question waits for the end.
	inspectWait = 5 * time.Second
	// inspectTimeout bounds one question.
	inspectTimeout = inspectWait + 10*time.Second
	// inspectForgotten is after how long an inspection ends that nobody asks for.
	inspectForgotten = time.Minute
	// maxInspections bounds those of one node.
	maxInspections = 256
	// inspectSilence is how many questions in a row may be lost.
	inspectSilence = 3
)

type inspectRequest struct {
	Group uint32 `json:"group"`
	Cut   string `json:"cut"`
}

type inspectAnswer struct {
	Done  bool                  `json:"done"`
	Bytes int64                 `json:"bytes"` // read so far
	Found antientropy.Inspected `json:"found"`
}

// Inspect implements antientropy.Witnesses.
func (c checkCluster) Inspect(ctx context.Context, group uint32, cut, node string) (antientropy.Inspected, error) {
	for lost := 0; ; {
		limited, cancel := context.WithTimeout(ctx, inspectTimeout)
		a, err := askNode[inspectAnswer](limited, c, node, MethodInspect, inspectRequest{group, cut})
		cancel()
		switch {
		case err == nil && a.Done:
			return a.Found, nil
		case errors.Is(err, ErrStructure):
			found := antientropy.Inspected{Place: a.Found.Place, Structure: err.Error()}
			if index, ok := c.cuts.Load(cut); ok {
				found.Index = index.(uint64)
			}
			return found, nil
		case err == nil:
			lost = 0
		default:
			if lost++; !transient(err) || lost > inspectSilence || ctx.Err() != nil {
				return antientropy.Inspected{}, err
			}
			if !pause(ctx, maxPause) {
				return antientropy.Inspected{}, ctx.Err()
			}
		}
	}
}

// inspections are those that run on this node.
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

	mu    sync.Mutex
	bytes int64       // guarded by mu
	timer *time.Timer // ends what nobody asks for
}

// begin finds the inspection, or starts it.
func (s *inspections) begin(q inspectRequest, run func(ctx context.Context, progress func(int64)) (antientropy.Inspected, error)) (*inspection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.of[q]; i != nil {
		i.timer.Reset(inspectForgotten)
		return i, nil
	}
	switch {
	case s.closed:
		return nil, fmt.Errorf("inspect group %d: the node is shutting down", q.Group)
	case len(s.of) >= maxInspections:
		return nil, fmt.Errorf("inspect group %d: %d inspections run on this node: %w", q.Group, len(s.of), ErrBusy)
	}
	ctx, cancel := context.WithCancel(context.Background()) // its own life: questions come and go
	i := &inspection{done: make(chan struct{}), cancel: cancel}
	i.timer = time.AfterFunc(inspectForgotten, func() { s.drop(q, i) })
	if s.of == nil {
		s.of = map[inspectRequest]*inspection{}
	}
	s.of[q] = i
	s.wg.Go(func() {
		defer close(i.done)
		i.found, i.err = run(ctx, i.progress)
	})
	return i, nil
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

// drop ends an inspection and forgets it.
func (s *inspections) drop(q inspectRequest, i *inspection) {
	i.cancel()
	i.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[q] == i {
		delete(s.of, q)
	}
}

// close ends all of them, and waits.
func (s *inspections) close() {
	s.mu.Lock()
	s.closed = true
	for _, i := range s.of {
		i.cancel()
		i.timer.Stop()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (g *Gateway) serveInspect(ctx context.Context, m inspectRequest) ([]byte, error) {
	x, err := g.examiner(m.Group)
	if err != nil {
		return answerOf(inspectAnswer{}, err)
	}
	i, err := g.inspections.begin(m, func(ctx context.Context, progress func(int64)) (antientropy.Inspected, error) {
		return x.Inspect(ctx, m.Group, m.Cut, progress)
	})
	if err != nil {
		return answerOf(inspectAnswer{}, err)
	}
	wait := time.NewTimer(inspectWait)
	defer wait.Stop()
	select {
	case <-i.done:
		defer g.inspections.drop(m, i)
		return answerOf(inspectAnswer{Done: true, Bytes: i.read(), Found: i.found}, i.err)
	case <-wait.C:
	case <-ctx.Done():
	}
	return answerOf(inspectAnswer{Bytes: i.read()}, nil)
}
