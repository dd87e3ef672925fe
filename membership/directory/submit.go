package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/internal/raftfuture"
	"github.com/flotilla-db/flotilla/membership"
)

const (
	// forwardTimeout bounds one attempt: a forward that is not answered by
	// then is of unknown outcome.
	forwardTimeout = 2 * time.Second
	retryFirst     = 20 * time.Millisecond
	retryMost      = 500 * time.Millisecond
)

// Apply submits a command, forwarded to the leader where that is another
// node, and returns its index when it has been applied here too. It waits for
// a leader as long as ctx lives.
//
// Errors: a refusal (nothing changed), ErrNoLeader (not applied), ErrUnknown
// (it may be applied or not; commands that may be repeated are repeated
// until ctx ends).
func (d *Directory) Apply(ctx context.Context, c Command) (uint64, error) {
	index, _, err := d.apply(ctx, c)
	return index, err
}

// apply reports beside the index whether the command changed the table.
func (d *Directory) apply(ctx context.Context, c Command) (uint64, bool, error) {
	c = c.stamped(d.cfg.Now())
	if err := c.check(); err != nil {
		return 0, false, err
	}
	p, err := d.submit(ctx, request{op: opApply, body: Encode(c), repeat: c.repeatable()})
	if err != nil {
		return p.index, false, fmt.Errorf("%s: %w", c.Kind(), err)
	}
	return p.index, p.changed, d.WaitFor(ctx, p.index)
}

// submit sends a request to the leader until it has an answer.
func (d *Directory) submit(ctx context.Context, q request) (reply, error) {
	failure := ErrNoLeader
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		p := d.attempt(ctx, q)
		switch {
		case p.code == codeOK:
			return p, nil
		case p.err() != nil:
			return p, p.err()
		case p.code == codeUnknown && !q.repeat:
			return p, fmt.Errorf("%w: %s", ErrUnknown, p.text)
		case p.code == codeUnknown:
			failure = ErrUnknown
		case p.code == codeNoNodes && !errors.Is(failure, ErrUnknown):
			failure = ErrNoNodes
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return p, d.gaveUp(failure, p.text, ctx.Err())
		case <-d.stopped:
			timer.Stop()
			return p, ErrClosed
		}
	}
}

// noAnswer is why a request ended with its time: what is known of its outcome,
// and that the time was over.
type noAnswer struct {
	text           string
	outcome, ended error
}

func (e noAnswer) Error() string   { return e.text }
func (e noAnswer) Unwrap() []error { return []error{e.outcome, e.ended} }

// gaveUp says why no leader answered in time. Without a majority of voters that
// is the reason, and not the node that was asked last.
func (d *Directory) gaveUp(outcome error, last string, ended error) error {
	e := noAnswer{outcome: outcome, ended: ended, text: fmt.Sprintf("%v: %s", outcome, last)}
	members, err := d.members()
	if err != nil {
		return e
	}
	c := countVoters(d.withUp(members))
	if c.voters > 0 && !c.able() {
		e.text = fmt.Sprintf("%v: %d of %d voters of the meta group answer, %d are needed", outcome, c.up, c.voters, majority(c.voters))
	}
	return e
}

// attempt asks the leader once. What it returns says what happened.
func (d *Directory) attempt(ctx context.Context, q request) reply {
	if ctx.Err() != nil {
		return reply{code: codeNotApplied, text: "not sent"}
	}
	if d.IsLeader() {
		return d.serveLeader(ctx, q)
	}
	leader, ok := d.Leader()
	if !ok || leader == d.self {
		return d.askAround(ctx, q)
	}
	return d.ask(ctx, leader.NodeID, q)
}

// ask sends a request to a node that should be the leader.
func (d *Directory) ask(ctx context.Context, to membership.NodeID, q request) reply {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	b, err := d.cfg.Caller.Call(ctx, to, q.encode())
	switch {
	case errors.Is(err, ErrNotDelivered):
		return reply{code: codeNotApplied, text: err.Error()}
	case err != nil:
		return reply{code: codeUnknown, text: fmt.Sprintf("ask %s: %v", to, err)}
	}
	p, err := decodeReply(b)
	if err != nil {
		return reply{code: codeUnknown, text: err.Error()}
	}
	return p
}

// askVia asks a peer, and then the leader that it names.
func (d *Directory) askVia(ctx context.Context, peer membership.NodeID, q request) reply {
	p := d.ask(ctx, peer, q)
	leader, err := membership.ParseServerID(p.leader)
	if p.code == codeNotLeader && err == nil && leader.NodeID != peer && leader != d.self {
		return d.ask(ctx, leader.NodeID, q)
	}
	return p
}

// askAround asks another server of the configuration that this node's log
// ends with, each time the next one: a node that was taken out of the meta
// group hears of no leader by itself.
func (d *Directory) askAround(ctx context.Context, q request) reply {
	members, err := d.members()
	members = slices.DeleteFunc(members, func(m Member) bool { return m.ID == d.self })
	if err != nil || len(members) == 0 {
		return reply{code: codeNotLeader, text: "no leader is known here"}
	}
	return d.askVia(ctx, members[int(d.asked.Add(1)%uint32(len(members)))].ID.NodeID, q)
}

// applyHere proposes a command on this node, which should be the leader.
func (d *Directory) applyHere(ctx context.Context, data []byte) reply {
	in := d.raft()
	f := in.Apply(data, forwardTimeout/2)
	if err := d.await(ctx, in, f); err != nil {
		return d.failed(err)
	}
	o, ok := f.Response().(outcome)
	if !ok {
		return reply{code: codeUnknown, text: "the state machine gave no answer"}
	}
	d.sendNudge()
	p := reply{code: codeOK, index: o.index, changed: o.changed}
	var r *refusal
	if errors.As(o.err, &r) {
		p.code, p.text = r.code, r.text
	}
	return p
}

// failed sorts the errors of raft: only these three mean that the entry was
// not appended.
func (d *Directory) failed(err error) reply {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		p := reply{code: codeNotLeader, text: err.Error()}
		if leader, ok := d.Leader(); ok && leader != d.self {
			p.leader = leader.String()
		}
		return p
	case errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return reply{code: codeNotApplied, text: err.Error()}
	}
	return reply{code: codeUnknown, text: err.Error()}
}

// await waits for a future of an instance of raft, for the end of that instance,
// or for ctx.
func (d *Directory) await(ctx context.Context, in *instance, f raft.Future) error {
	f = raftfuture.EndWith(f, in.ended)
	done := make(chan error, 1)
	if !d.tasks.Go(func() { done <- f.Error() }) {
		return ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
