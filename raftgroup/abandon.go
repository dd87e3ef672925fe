package raftgroup

import (
	"errors"
	"sync"
	"time"
)

// Abandon ends all groups as the end of the process would: no leadership is
// handed over and no shard is flushed, so that what was not flushed is only in
// the log. The files are closed. For tests of crashes, and for a disk that
// must not be written any more. Idempotent, and after Close it does nothing.
func (h *Host) Abandon() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	close(h.stop)
	groups := h.Groups()
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
	for i, g := range groups {
		wg.Go(func() { errs[i] = g.abandon() })
	}
	wg.Wait()
	h.workers.Wait()
	h.lanes.close()
	return errors.Join(errs...)
}

// abandonWait bounds the wait for what Raft has handed to the shard already: it
// is answered at once, and never by a Raft that was shut down before.
const abandonWait = 10 * time.Millisecond

// abandon closes the shard before Raft, which then applies nothing more, and
// waits for no write.
func (g *Group) abandon() error {
	g.opening.Lock()
	defer g.opening.Unlock()
	var err error
	if in, closed := g.running(); closed == nil {
		err = in.shard.Abandon()
		in.drainOnce.Do(func() {
			in.proposer.close()
			in.proposer.awaitWorkers(abandonWait)
		})
	}
	return errors.Join(err, g.stop(ReplicaSyncing, "node is gone"))
}
