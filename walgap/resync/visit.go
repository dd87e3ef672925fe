package resync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// visit is what a leader holds for one job under one session.
type visit struct {
	session session
	timer   *time.Timer // ends it when the job asks no more

	mu      sync.Mutex    // guards the rest
	inside  int           // calls being served
	left    chan struct{} // closed when inside becomes 0, where somebody waits for that
	last    time.Time
	closed  bool
	release []func()        // ends what was pinned and held
	held    map[string]bool // cuts whose record Raft is shown
	pin     string          // the record that is pinned
	listing *listing
	trial   *trial
}

// listing is a manifest being computed, or computed.
type listing struct {
	errand
	cutID   string
	root    digest.ID
	entries []digest.Entry
	state   []byte
	at      storage.Position
}

// trial is a challenge: the leader's own sum being computed, or computed. It answers for one claim only, so that what
// it reveals cannot be claimed.
type trial struct {
	errand
	cutID   string
	key     []byte
	sum     digest.ID
	claimed bool
	claim   digest.ID
}

// errand is work that goes on between calls. Its owner stops it and waits.
type errand struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

func newVisit(s session) *visit {
	return &visit{session: s, last: time.Now(), held: make(map[string]bool)}
}

func (v *visit) enter() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inside++
	v.last = time.Now()
}

func (v *visit) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inside--
	v.last = time.Now()
	if v.inside == 0 && v.left != nil {
		close(v.left)
		v.left = nil
	}
}

// quiet waits until no call is being served any more, for as long as a call may.
func (v *visit) quiet(ctx context.Context) bool {
	v.mu.Lock()
	if v.inside == 0 {
		v.mu.Unlock()
		return true
	}
	if v.left == nil {
		v.left = make(chan struct{})
	}
	left := v.left
	v.mu.Unlock()
	timer := time.NewTimer(longPoll)
	defer timer.Stop()
	select {
	case <-left:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// over reports whether the visit has been closed.
func (v *visit) over() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closed
}

// idle is how long nobody asked.
func (v *visit) idle() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.inside > 0 {
		return 0
	}
	return time.Since(v.last)
}

// keep notes what ends with the visit; at once if it has ended.
func (v *visit) keep(end func()) {
	v.mu.Lock()
	if !v.closed {
		v.release = append(v.release, end)
		v.mu.Unlock()
		return
	}
	v.mu.Unlock()
	end()
}

// close ends all of it, and waits for the errands. Idempotent.
func (v *visit) close() {
	v.timer.Stop()
	v.finish()
}

// finish is close for a visit that stays known until its time is over.
func (v *visit) finish() {
	v.mu.Lock()
	v.closed = true
	release, l, t := v.release, v.listing, v.trial
	v.release, v.listing, v.trial = nil, nil, nil
	v.mu.Unlock()
	if l != nil {
		l.stop()
	}
	if t != nil {
		t.stop()
	}
	for _, end := range release {
		end()
	}
}

// start begins an errand that outlives the call, but not the visit, and at most limit.
func (e *errand) start(limit time.Duration, work func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	e.cancel, e.done = cancel, make(chan struct{})
	go func() {
		defer close(e.done)
		e.err = work(ctx)
	}()
}

func (e *errand) stop() {
	e.cancel()
	<-e.done
}

// await waits for the errand, for as long as a call may: errPending then.
func (e *errand) await(ctx context.Context, what string) error {
	return e.awaitFor(ctx, longPoll, what)
}

func (e *errand) awaitFor(ctx context.Context, limit time.Duration, what string) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-e.done:
		return e.err
	case <-timer.C:
	case <-ctx.Done():
	}
	return fmt.Errorf("%w: the leader %s", errPending, what)
}

// list starts listing a cut, or finds the listing that was started.
func (v *visit) list(led Led, cutID string) *listing {
	v.mu.Lock()
	old := v.listing
	if v.closed {
		v.mu.Unlock()
		return nil
	}
	if old != nil && old.cutID == cutID && !old.failed() {
		v.mu.Unlock()
		return old
	}
	l := &listing{cutID: cutID}
	l.start(infoOf(Explore).Idle, func(ctx context.Context) error { return l.compute(ctx, led) })
	v.listing = l
	v.mu.Unlock()
	if old != nil {
		old.stop()
	}
	return l
}

// ready reports whether the errand has ended well, failed whether it has ended with an error.
func (e *errand) ready() bool  { return e.over() && e.err == nil }
func (e *errand) failed() bool { return e.over() && e.err != nil }

func (e *errand) over() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

func (l *listing) compute(ctx context.Context, led Led) (err error) {
	view, err := led.View(ctx, l.cutID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	l.at = view.Index()
	if l.root, l.entries, err = view.Root(ctx); err != nil {
		return err
	}
	if l.state, err = view.State(); err != nil {
		return err
	}
	if len(l.state) > maxStateBytes || len(l.entries) > maxLeaves {
		return fmt.Errorf("%w: state of %d bytes, %d leaves", ErrWire, len(l.state), len(l.entries))
	}
	return nil
}

// challenge starts a trial with a key that nobody has seen, in place of the last one.
func (v *visit) challenge(led Led, cutID string, key []byte) {
	t := &trial{cutID: cutID, key: key}
	v.mu.Lock()
	old := v.trial
	limit := infoOf(Install).Idle
	if v.listing != nil && v.listing.ready() {
		limit += readingTime(bytesOf(v.listing.entries))
	}
	if v.closed {
		v.mu.Unlock()
		return
	}
	t.start(limit, func(ctx context.Context) (err error) {
		view, err := led.View(ctx, cutID)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, view.Close()) }()
		t.sum, err = view.Prove(ctx, key)
		return err
	})
	v.trial = t
	v.mu.Unlock()
	if old != nil {
		old.stop()
	}
}
