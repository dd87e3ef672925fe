package directory

import "sync"

// tasks owns the short goroutines that wait for raft's futures. They end with
// their instance of raft at the latest: see await.
type tasks struct {
	mu     sync.Mutex // guards closed, and that no task begins after it
	closed bool
	wg     sync.WaitGroup
}

// Go runs f, unless the tasks were closed.
func (t *tasks) Go(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Go(f)
	return true
}

// Close lets no task begin and waits for those that run.
func (t *tasks) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wg.Wait()
}
