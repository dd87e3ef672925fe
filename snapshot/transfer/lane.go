package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// errUseless: the batch was ended by the run, not by its source.
var errUseless = errors.New("batch is no longer wanted")

// sinkError is a failure of the sink that no source is to blame for.
type sinkError struct{ err error }

func (e sinkError) Error() string { return e.err.Error() }

// lane fetches one batch. It is the Receiver of its Fetch; all but silence runs on the Fetch's goroutine.
type lane struct {
	run      *run
	batch    Batch
	source   Source
	compress bool

	next    int         // the leaf of the batch that comes next
	waiting time.Time   // since then it has waited for the source
	silence *time.Timer // runs while it waits
	partial int64       // bytes that it counts in run.partial
	result  error       // what the receiver's side failed with
}

// fetch returns why the source is to be dropped, or nil.
func (l *lane) fetch(ctx context.Context) error {
	r := l.run
	weight := int64(min(l.batch.Bytes, MaxInFlight))
	if r.plan.Limits.inFlight.Acquire(ctx, weight) != nil {
		return errUseless
	}
	defer r.plan.Limits.inFlight.Release(weight)
	r.mu.Lock()
	r.sched.Begun(time.Now(), l.batch.ID)
	r.links[l.batch.Source].lanes++
	r.mu.Unlock()

	fetchCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.waiting = time.Now()
	l.silence = time.AfterFunc(r.plan.Silence, func() {
		cancel(fmt.Errorf("%w: no byte for %v", ErrSilent, r.plan.Silence))
	})
	err := l.source.Fetch(fetchCtx, l.request(), l)
	l.silence.Stop()

	r.mu.Lock()
	r.links[l.batch.Source].lanes--
	r.partial -= l.partial
	r.mu.Unlock()
	switch {
	case l.result != nil && !errors.Is(l.result, errUseless):
		return l.result
	case ctx.Err() != nil:
		return errUseless
	case errors.Is(context.Cause(fetchCtx), ErrSilent):
		return context.Cause(fetchCtx)
	case l.result != nil:
		return l.result
	case err == nil && l.next < len(l.batch.Leaves):
		return fmt.Errorf("%w: %d of %d", ErrIncomplete, len(l.batch.Leaves)-l.next, len(l.batch.Leaves))
	}
	return err
}

func (l *lane) request() Request {
	p := l.run.plan
	q := Request{Group: p.Group, Cut: p.Cut, MessageBytes: p.MessageBytes, Compress: l.compress}
	for _, e := range l.batch.Leaves {
		q.Leaves = append(q.Leaves, e.Leaf)
		q.Sizes = append(q.Sizes, e.Bytes)
	}
	return q
}

// Arrived counts a message and waits until the rates allow the next one.
func (l *lane) Arrived(ctx context.Context, a Arrival) error {
	l.silence.Stop()
	r, now := l.run, time.Now()
	r.mu.Lock()
	r.sched.Moved(now, l.batch.ID, a.LeafBytes)
	r.links[l.batch.Source].arrived(a, now.Sub(l.waiting))
	r.wire[l.batch.Source] += uint64(a.WireBytes)
	r.partial += int64(a.LeafBytes)
	l.partial += int64(a.LeafBytes)
	r.mu.Unlock()
	for _, limit := range []*Limiter{r.plan.Rate, r.plan.Limits.In} {
		if err := limit.Wait(ctx, a.WireBytes); err != nil {
			l.result = errUseless
			return l.result
		}
	}
	l.listen()
	return nil
}

// listen begins to wait for the source.
func (l *lane) listen() {
	l.waiting = time.Now()
	l.silence.Reset(l.run.plan.Silence)
}

// Leaf gives a leaf to the sink, if no other source brought it before.
func (l *lane) Leaf(ctx context.Context, leaf digest.Leaf, leafBytes []byte) error {
	l.silence.Stop()
	if l.next == len(l.batch.Leaves) || l.batch.Leaves[l.next].Leaf != leaf {
		l.result = fmt.Errorf("%w: leaf %v is not due", ErrMessage, leaf)
		return l.result
	}
	i, r := l.next, l.run
	e := l.batch.Leaves[i]
	r.mu.Lock()
	r.partial -= int64(len(leafBytes))
	l.partial -= int64(len(leafBytes))
	claimed := r.sched.Claim(l.batch.ID, i)
	r.mu.Unlock()
	if claimed {
		if err := l.store(ctx, i, e, leafBytes); err != nil {
			l.result = err
			return err
		}
	}
	l.next++
	l.listen()
	return nil
}

// store calls the sink.
func (l *lane) store(ctx context.Context, i int, e digest.Entry, leafBytes []byte) error {
	r := l.run
	err := errUseless
	select {
	case r.sinking <- struct{}{}:
		if ctx.Err() == nil {
			err = r.sink(l.source.Name(), e, leafBytes)
		}
		<-r.sinking
	case <-ctx.Done():
	}
	r.mu.Lock()
	look := r.sched.Stored(l.batch.ID, i, err == nil)
	if err == nil {
		r.stored.moved(time.Now(), len(leafBytes))
	}
	if look {
		r.changed()
	}
	r.mu.Unlock()
	switch {
	case err == nil || errors.Is(err, errUseless):
		return err
	case errors.Is(err, ErrWrongContent):
		return fmt.Errorf("leaf %v: %w", e.Leaf, err)
	}
	return sinkError{fmt.Errorf("store leaf %v: %w", e.Leaf, err)}
}
