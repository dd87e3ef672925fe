package server

import "sync"

// work counts the requests of clients that are under way.
type work struct {
	mu       sync.Mutex
	running  int           // guarded by mu
	draining bool          // guarded by mu
	idle     chan struct{} // guarded by mu; closed when running is 0 while draining
}

func (w *work) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running++
}

func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running--
	if w.running == 0 && w.draining {
		w.closeIdle()
	}
}

// drain begins to refuse writes and reads of streams; the channel is closed when
// no request of a client is under way any more.
func (w *work) drain() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	if w.running == 0 {
		w.closeIdle()
	}
	return w.idle
}

// closeIdle is called with mu held.
func (w *work) closeIdle() {
	select {
	case <-w.idle:
	default:
		close(w.idle)
	}
}

// stopping reports whether writes, and reads of a stream, are refused: asked
// between begin and end, so that drain waits for what was let in.
func (w *work) stopping() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}
