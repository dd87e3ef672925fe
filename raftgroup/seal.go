package raftgroup

import "context"

// While a leadership is handed over nothing may be added to the leader's log: a
// voter who has an entry that the candidate has not refuses its vote, and the
// group has no leader until failover finds that out, 1 to 2 s later. The fence
// holds the writes alone. A suspect leader hands over just when a check ends its
// cut, and a new one before its first entries are in the log, so that a transfer
// seals its fence: what goes past the queue (cuts, leases, their ends, no-ops,
// changes of the configuration) waits too, until the fence ends.

// seal makes a fence hold everything, and waits until nothing is on its way.
func (f *Fence) seal(ctx context.Context) error {
	q := f.q
	q.mu.Lock()
	f.sealed = true
	quiet := q.quiet
	if q.aside > 0 && quiet == nil {
		quiet = make(chan struct{})
		q.quiet = quiet
	}
	q.mu.Unlock()
	if quiet == nil {
		return nil
	}
	return f.await(ctx, quiet)
}

// step begins what goes past the queue, once no fence is sealed; false: the group
// is closed. stepped ends it.
func (q *proposer) step() bool {
	for {
		q.mu.Lock()
		fence := q.fence
		if q.closed || fence == nil || !fence.sealed {
			defer q.mu.Unlock()
			if !q.closed {
				q.aside++
			}
			return !q.closed
		}
		q.mu.Unlock()
		<-fence.done // by its deadline at the latest
	}
}

func (q *proposer) stepped() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.aside--; q.aside == 0 && q.quiet != nil {
		close(q.quiet)
		q.quiet = nil
	}
}
