package resync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage/digest"
)

const (
	callTimeout   = 10 * time.Second       // of one call; what takes longer is answered "pending"
	cutTimeout    = 30 * time.Second       // of a cut: it flushes first
	longPoll      = 5 * time.Second        // that the leader lets a call wait for what is being computed
	listingSoon   = 200 * time.Millisecond // that an answer to a cut waits for its manifest, to bring the first page along
	maxLeaderErrs = 5                      // answers in a row that failed for a reason of the leader's own
)

// errUnreached: nobody answered, or whoever did leads no more. Worth another try.
var errUnreached = errors.New("no leader answers")

// remote is the leader as a job sees it.
type remote struct {
	caller Caller
	job    string
	group  uint32

	mu      sync.Mutex // guards the rest: stages and renewals call at once
	target  membership.ServerID
	session session
	lease   lease
}

// adopt begins a session.
func (r *remote) adopt(target membership.ServerID, s session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target, r.session = target, s
}

// agreed is the session.
func (r *remote) agreed() session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session
}

// call asks once.
func (r *remote) call(ctx context.Context, q request) (*answer, error) {
	r.mu.Lock()
	q.Version, q.Job, q.Group, q.Session = wireVersion, r.job, r.group, r.session
	if q.Target == "" {
		q.Target = r.target.String()
	}
	r.mu.Unlock()
	raw, err := encode(string(q.Op), q)
	if err != nil {
		return nil, err
	}
	timeout := callTimeout
	if q.Op == opCut || q.Op == opRecord {
		timeout = cutTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reply, leader, err := r.caller.Call(limited, r.group, raw)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", q.Op, errUnreached, err)
	}
	a := &answer{}
	if err := decode("answer to "+string(q.Op), reply, a); err != nil {
		return nil, fmt.Errorf("%s: %w", leader.Name, err)
	}
	if err := a.check(q.Op); err != nil {
		return nil, fmt.Errorf("%s: %w", leader.Name, err)
	}
	err = a.error()
	if errors.Is(err, ErrNotLeader) || errors.Is(err, ErrMoved) {
		r.caller.Elsewhere(r.group, leader)
	}
	return a, err
}

// ask asks until somebody answers, with a growing pause between tries; blocked is told what it waits for. It ends with
// the context, which the stage's idle bound ends.
func (r *remote) ask(ctx context.Context, q request, blocked func(string)) (*answer, error) {
	failures := 0
	for try := 0; ; try++ {
		a, err := r.call(ctx, q)
		var own *leaderError
		switch {
		case err == nil:
			return a, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errPending):
			try = 0
		case errors.Is(err, errUnreached), errors.Is(err, ErrNotLeader), errors.Is(err, ErrBusy):
		case errors.As(err, &own) || errors.Is(err, ErrWire):
			if failures++; failures >= maxLeaderErrs {
				return a, err
			}
		default:
			return a, err
		}
		blocked(err.Error())
		if err := pause.For(ctx, backoff(try, 100*time.Millisecond, 2*time.Second)); err != nil {
			return nil, err
		}
	}
}

// manifest asks for all pages but the first, where that is known, and checks them against the root.
func (r *remote) manifest(ctx context.Context, cutID string, v *viewAnswer, first []byte, blocked func(string)) (list []digest.Entry, err error) {
	list = make([]digest.Entry, 0, min(v.Leaves, pageLeaves))
	if len(first) > 0 {
		if list, err = readPage(list, first); err != nil {
			return nil, err
		}
	}
	for len(list) < v.Leaves {
		a, err := r.ask(ctx, request{Op: opManifest, CutID: cutID, Offset: len(list)}, blocked)
		if err != nil {
			return nil, err
		}
		if list, err = readPage(list, a.Page); err != nil {
			return nil, err
		}
	}
	if len(list) != v.Leaves || digest.Root(list) != v.Root {
		return nil, fmt.Errorf("%w: the manifest of %d leaves does not have root %s", ErrWire, len(list), v.Root)
	}
	return list, nil
}

// backoff doubles from first up to limit.
func backoff(try int, first, limit time.Duration) time.Duration {
	return min(first<<min(try, 16), limit)
}
