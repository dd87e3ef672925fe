package resync

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// maxVisits bounds the jobs that a Responder holds something for.
const maxVisits = 1024

// ResponderConfig is what a Responder works with.
type ResponderConfig struct {
	// Led is the group, if this node leads it: ErrNotLeader otherwise.
	Led    func(group uint32) (Led, error)
	Logger *slog.Logger
}

// Responder answers the targets of the groups that this node leads. What it holds for a job (a computed manifest, a
// challenge, a held or pinned record) ends with the job, with the leadership, or leaseTTL after the job's last call.
type Responder struct {
	config ResponderConfig

	mu     sync.Mutex // guards the rest
	visits map[string]*visit
	closed bool
}

// NewResponder makes a Responder.
func NewResponder(c ResponderConfig) *Responder {
	return &Responder{config: c, visits: make(map[string]*visit)}
}

// Answer answers one request of a peer. The error is about requests that cannot be read; whatever else goes wrong is in
// the answer.
func (r *Responder) Answer(ctx context.Context, from membership.NodeID, raw []byte) ([]byte, error) {
	var q request
	if err := decode("resync request", raw, &q); err != nil {
		return nil, err
	}
	target, err := q.check(from)
	if err != nil {
		return nil, fmt.Errorf("resync request of %s: %w", from.Name, err)
	}
	a, err := r.answer(ctx, &q, target)
	if err != nil {
		fenced := time.Duration(0)
		if a != nil {
			fenced = a.Fenced
		}
		a = failure(err)
		a.Fenced = fenced
	}
	a.Version = wireVersion
	return encode("answer", a)
}

// answer finds the group, checks the session, and does what is asked.
func (r *Responder) answer(ctx context.Context, q *request, target membership.ServerID) (*answer, error) {
	led, err := r.config.Led(q.Group)
	if err != nil {
		return nil, err
	}
	s, err := led.Standing(ctx, target)
	if err != nil {
		return nil, err
	}
	now := session{Leader: s.Server.String(), Term: s.Term, Lineage: s.Lineage, Epoch: s.Epoch}
	switch q.Op {
	case opPlan:
		if !s.Assigned {
			return nil, fmt.Errorf("%w: %s has no place in group %d (any more)", ErrRefused, target.Name, q.Group)
		}
		a, err := plan(ctx, led, q, target, s)
		if a != nil {
			a.Session = now
		}
		return a, err
	case opEnd:
		return r.end(ctx, led, q)
	}
	if q.Session != now {
		return nil, fmt.Errorf("%w: %s", ErrMoved, difference(q.Session, now))
	}
	if !s.Assigned {
		return nil, fmt.Errorf("%w: %s has no place in group %d any more", ErrMoved, target.Name, q.Group)
	}
	v, err := r.visit(q)
	if err != nil {
		return nil, err
	}
	a, err := v.serve(ctx, led, q, target)
	v.leave()
	return a, err
}

// difference says what changed between two sessions.
func difference(was, is session) string {
	switch {
	case was.Lineage != is.Lineage:
		return "the group has another lineage"
	case was.Leader != is.Leader:
		return fmt.Sprintf("%s leads now", is.Leader)
	case was.Term != is.Term:
		return fmt.Sprintf("the term is %d, was %d", is.Term, was.Term)
	}
	return fmt.Sprintf("the epoch is %d, was %d", is.Epoch, was.Epoch)
}

// visit is what is held for a job, made where nothing is.
func (r *Responder) visit(q *request) (*visit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrNotLeader
	}
	v := r.visits[q.Job]
	if v != nil && v.over() {
		return nil, fmt.Errorf("%w: the job has ended", ErrMoved)
	}
	if v != nil && v.session != q.Session {
		delete(r.visits, q.Job)
		v.close()
		v = nil
	}
	if v == nil {
		if len(r.visits) >= maxVisits {
			maps.DeleteFunc(r.visits, func(_ string, old *visit) bool { return old.over() })
		}
		if len(r.visits) >= maxVisits {
			return nil, fmt.Errorf("%w: %d jobs are served", ErrBusy, maxVisits)
		}
		v = r.open(q)
	}
	v.enter()
	return v, nil
}

// open makes a visit. The caller holds the lock.
func (r *Responder) open(q *request) *visit {
	v := newVisit(q.Session)
	v.timer = time.AfterFunc(leaseTTL, func() { r.expire(q.Job, v) })
	r.visits[q.Job] = v
	return v
}

// expire ends what is held for a job that asks no more.
func (r *Responder) expire(job string, v *visit) {
	r.mu.Lock()
	if r.visits[job] == v {
		if v.idle() < leaseTTL {
			v.timer.Reset(leaseTTL - v.idle())
			r.mu.Unlock()
			return
		}
		delete(r.visits, job)
	}
	r.mu.Unlock()
	v.close()
}

// end gives back what is held for a job here, and what it holds in the log.
func (r *Responder) end(ctx context.Context, led Led, q *request) (*answer, error) {
	// A renewal may still be under way, here or on its way: it must not bring a lease back that has ended. So the visit
	// stays, closed, until nobody asks any more.
	r.mu.Lock()
	v := r.visits[q.Job]
	if v == nil && !r.closed && len(r.visits) < maxVisits {
		v = r.open(q)
	}
	r.mu.Unlock()
	if v != nil {
		v.finish()
		if !v.quiet(ctx) {
			return nil, fmt.Errorf("%w: other calls of the job are being served", errPending)
		}
	}
	if q.Pin != "" {
		led.Unpin(q.Pin)
	}
	return &answer{}, endAll(ctx, led, q)
}

// endAll ends leases through the log: a few in one entry. Of many the job's own goes first: when that is applied, whatever
// was proposed for the job before is applied too, and what lives of it can be seen.
func endAll(ctx context.Context, led Led, q *request) error {
	if len(q.Drop) == 0 {
		return nil
	}
	if len(q.Drop) <= recentCuts {
		return led.End(ctx, q.Drop)
	}
	rest := slices.Clone(q.Drop)
	if i := slices.Index(rest, q.Job); i >= 0 {
		if err := led.End(ctx, rest[i:i+1]); err != nil {
			return err
		}
		rest = slices.DeleteFunc(rest, func(id string) bool { return id == q.Job || !led.Leased(id) })
	}
	if len(rest) == 0 {
		return nil
	}
	return led.End(ctx, rest)
}

// Close ends what is held for targets, and waits.
func (r *Responder) Close() error {
	r.mu.Lock()
	r.closed = true
	list := make([]*visit, 0, len(r.visits))
	for _, v := range r.visits {
		list = append(list, v)
	}
	clear(r.visits)
	r.mu.Unlock()
	for _, v := range list {
		v.close()
	}
	return nil
}
