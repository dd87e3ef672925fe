package raftlog

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"
)

// idleConfirm is how long the log must be idle until an empty batch tells that the last one is durable.
const idleConfirm = 100 * time.Millisecond

// committer is the only writer of the log: it takes batches from the gatherer, one at a time, writes each
// with one write and one fdatasync, and lets its callers go.
//
// How long it gathers. With one caller a wait only adds latency; with many, each fdatasync should carry
// as many as possible, and a caller that was let go needs a moment to come back. So it waits until as many
// requests are there as the last batch held, but no longer than the window. A fixed window is wrong on a
// fast disk (half the throughput, measured); ending at a fraction of the last batch, too: each batch is
// then a little smaller than the one before, until two halves of the callers take turns.
type committer struct {
	*gatherer
	gap      time.Duration // the gather window
	deadline time.Duration
	window   *window
	segments *segments
	fatal    func(error)
	logger   *slog.Logger
	stopping chan struct{}
	stopped  chan struct{}

	failing  sync.Once
	failed   chan struct{}
	watchdog *time.Timer

	// finishing guards that a batch is finished once: by its write, or by the failure that overtakes it.
	finishing sync.Mutex
	writing   *batch

	// The committer goroutine's own:
	seg       *segment
	off       int64
	sequence  uint64 // of the last batch written
	confirmed bool   // the last batch is an empty one
	last      int    // requests in the last batch
	timer     *time.Timer
}

// run commits until stop.
func (c *committer) run() {
	defer close(c.stopped)
	defer c.watchdog.Stop()
	for {
		b, ok := c.take()
		if !ok {
			return
		}
		if !c.commit(b) {
			return
		}
	}
}

// take returns the next batch to write; false when the log is closed or has failed.
func (c *committer) take() (*batch, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.full) == 0 && c.open == nil {
		switch {
		case c.err != nil:
			return nil, false
		case !c.isStopping():
			if c.pause(1, idleConfirm, !c.confirmed) || len(c.full) > 0 || c.open != nil {
				continue
			}
		case c.confirmed:
			c.err = ErrClosed
			return nil, false
		}
		c.begin(0) // the empty batch
		c.closeOpen()
	}
	if len(c.full) == 0 && c.gap > 0 && c.open.requests < c.last {
		c.pause(c.last, c.gap, true)
	}
	if len(c.full) == 0 {
		if c.open == nil { // failed meanwhile
			return nil, false
		}
		c.closeOpen()
	}
	b := c.full[0]
	c.full[0] = nil
	c.full = c.full[1:]
	return b, true
}

func (c *committer) isStopping() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

// pause waits, without the lock, for target requests in the open batch; false: `limit` passed first.
func (c *committer) pause(target int, limit time.Duration, limited bool) bool {
	select {
	case <-c.kick:
	default:
	}
	c.target = target
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.target = math.MaxInt
	}()
	var expired <-chan time.Time
	if limited {
		c.timer.Reset(limit)
		defer c.timer.Stop()
		expired = c.timer.C
	}
	select {
	case <-c.kick:
	case <-c.stopping:
	case <-expired:
		return false
	}
	return true
}

// commit brings one batch to disk; false ends the committer.
func (c *committer) commit(b *batch) bool {
	c.finishing.Lock()
	c.writing = b
	c.finishing.Unlock()
	c.watchdog.Reset(c.deadline)
	err := c.write(b)
	c.watchdog.Stop()
	if errors.Is(err, ErrNoSpace) { // these requests fail, and later ones may not
		return c.refuse(b, err)
	}
	if err != nil {
		c.fail(err)
		return false
	}
	c.last, c.confirmed = b.requests, b.header.records == 0
	return c.finish(b)
}

// refuse fails a batch that found no room, and all that is queued behind it: a request may go on in those
// batches, which may be small enough for what is left of the segment, and its end without its beginning
// would be a hole in the log. A request is queued whole, so none of it comes later.
func (c *committer) refuse(b *batch, err error) bool {
	c.mu.Lock()
	queued := c.unqueue()
	c.mu.Unlock()
	for _, q := range queued {
		q.err = err
		close(q.done)
	}
	if b.header.records == 0 && c.isStopping() {
		c.confirmed = true // the last batch stays unconfirmed: there is no room to do it
	}
	b.err = err
	return c.finish(b)
}

// write is the one write and the one fdatasync.
func (c *committer) write(b *batch) error {
	if c.off+int64(b.header.length) > c.seg.size || c.seg.condemned.Load() {
		next, err := c.segments.roll()
		if err != nil {
			return err
		}
		c.seg, c.off = next, segmentHeaderSize
	}
	b.header.durable = c.sequence
	b.header.sequence = c.sequence + 1
	bytes := b.bytes()
	sealBatch(bytes, b.header, c.seg.number, c.off)
	if err := writeFull(c.seg.file, bytes, c.off); err != nil {
		return fmt.Errorf("write log %s: %w", c.seg.where(c.off), err)
	}
	if err := c.seg.prewrite(c.off + int64(len(bytes))); err != nil {
		return fmt.Errorf("write log %s: %w", c.seg.where(c.off), err)
	}
	if err := c.seg.file.Sync(); err != nil {
		return fmt.Errorf("sync log %s: %w", c.seg.where(c.off), err)
	}
	c.window.add(c.seg.number, c.off, b.slab, b.at, len(bytes))
	c.seg.total.Add(int64(b.header.records))
	b.seg, b.off = c.seg, c.off
	c.off += int64(len(bytes))
	c.seg.end.Store(c.off)
	c.sequence++
	if c.off > c.seg.size/2 {
		c.segments.prepareNext()
	}
	return nil
}

// finish lets the callers of a written batch go; false if a failure was faster.
func (c *committer) finish(b *batch) bool {
	c.finishing.Lock()
	defer c.finishing.Unlock()
	if c.writing != b {
		return false
	}
	c.writing = nil
	close(b.done)
	return true
}

// fail stops the log for good: the outcome of the batch in flight is unknown, and an fsync that has failed
// is never tried again, since the kernel may have dropped the pages. Also called by the watchdog, while
// the committer hangs in a system call.
func (c *committer) fail(cause error) {
	c.failing.Do(func() {
		err := fmt.Errorf("%w: %w", ErrFailed, cause)
		left := c.stop(err)
		c.finishing.Lock()
		if c.writing != nil {
			left = append(left, c.writing)
			c.writing = nil
		}
		for _, b := range left {
			b.err = err
			close(b.done)
		}
		c.finishing.Unlock()
		close(c.failed)
		c.logger.Error("log has failed", "error", cause)
		if c.fatal != nil {
			c.fatal(err)
		}
	})
}

var errDeadline = errors.New("disk is stalled: an append took longer than its deadline")

// close lets the committer write what is queued, and an empty batch, and waits for it. After a failure it
// does not wait: the committer may hang in a system call.
func (c *committer) close() error {
	if !c.isStopping() {
		close(c.stopping)
	}
	select {
	case <-c.stopped:
	case <-c.failed:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.err, ErrClosed) {
		return nil
	}
	return c.err
}
