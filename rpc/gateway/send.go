package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
)

// deliver carries the parts out, round by round, and gives the verdict. It
// repeats inside the node what was certainly not applied, until the deadline;
// an unknown outcome ends it at once.
func (g *Gateway) deliver(ctx context.Context, rounds [][]*part, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var t tally
	for i, parts := range rounds {
		done := g.deliverRound(ctx, parts, deadline, t.count[applied] > 0)
		for _, p := range parts {
			t.add(p)
		}
		if !done {
			for _, later := range rounds[i+1:] {
				for _, p := range later {
					t.add(p)
				}
			}
			break
		}
	}
	if err := t.verdict(ctx); err != nil {
		return err
	}
	return nil
}

// deliverRound tries until every part is applied (true), or time is up or an
// outcome forbids to go on (false).
func (g *Gateway) deliverRound(ctx context.Context, parts []*part, deadline time.Time, appliedBefore bool) bool {
	open := parts
	for attempt := 0; ; attempt++ {
		g.attempt(ctx, open, deadline, attempt)
		var next []*part
		stop, anyApplied, refusal, hinted := false, appliedBefore, false, true
		for _, p := range parts {
			anyApplied = anyApplied || p.outcome == applied
		}
		for _, p := range open {
			switch {
			case p.outcome == applied:
			case p.outcome.repeatable():
				next = append(next, p)
				refusal = refusal || p.outcome == busy || p.outcome == noSpace
				hinted = hinted && p.outcome == notLeader && p.leader != ""
			default:
				stop = true
			}
		}
		if stop || len(next) == 0 {
			return !stop
		}
		// Busy and full are the client's to know, unless part of the write is
		// applied already: then finishing it is better than half of it.
		if refusal && !anyApplied {
			return false
		}
		open = next
		if hinted && attempt == 0 {
			continue // every part knows where to go now
		}
		if pause.For(ctx, backOff(attempt)) != nil || time.Until(deadline) < lastTry {
			return false
		}
	}
}

// lastTry is what has to be left for another try: one that the deadline cuts
// off on its way is of unknown outcome, and until now it is known.
const lastTry = 100 * time.Millisecond

// attempt sends each part once: those of this node to its own groups, the
// others in one request a destination. It returns when all outcomes are
// known, or as soon as one is unknown.
func (g *Gateway) attempt(ctx context.Context, parts []*part, deadline time.Time, attempt int) {
	t := g.cfg.Directory.Table()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var local []*part
	var remote []forward
	for _, p := range parts {
		to, ok := g.route(t, p.group, attempt, p.failed)
		switch {
		case !ok:
			p.outcome, p.err = notApplied, fmt.Errorf("group %d has no holder in this node's table: %w", p.group, ErrNotApplied)
		case to == g.cfg.Self:
			p.failed = to.Name
			local = append(local, p)
		default:
			p.failed = to.Name
			remote = addForward(remote, to, p)
		}
	}
	g.proposeAll(local, deadline)
	if len(local) == 0 && len(remote) == 1 {
		g.forward(ctx, remote[0])
		return
	}
	var wg sync.WaitGroup
	for _, f := range remote {
		wg.Go(func() {
			if g.forward(ctx, f) {
				cancel()
			}
		})
	}
	if awaitAll(ctx, local) {
		cancel()
	}
	wg.Wait()
	for _, p := range local {
		g.learn(p)
	}
}

// forward is one request to one node.
type forward struct {
	to    membership.NodeID
	parts []*part
}

func addForward(fs []forward, to membership.NodeID, p *part) []forward {
	for i := range fs {
		if fs[i].to == to {
			fs[i].parts = append(fs[i].parts, p)
			return fs
		}
	}
	return append(fs, forward{to, []*part{p}})
}

// proposeAll hands the parts to the groups of this node without waiting.
func (g *Gateway) proposeAll(parts []*part, deadline time.Time) {
	for _, p := range parts {
		p.proposal, p.leader = nil, ""
		group, ok := g.cfg.Host.Group(p.group)
		if !ok {
			p.outcome = notApplied
			p.err = fmt.Errorf("node %s holds no replica of group %d: %w", g.cfg.Self.Name, p.group, ErrNotApplied)
			continue
		}
		p.outcome, p.proposal = pending, group.ProposeAsync(p.frames, deadline)
	}
}

// lookAgain is how often a batch that waits for one group looks whether
// another one has become unknown.
const lookAgain = 20 * time.Millisecond

// awaitAll waits for the proposals and reports whether one is unknown. It
// waits for none after that, nor when ctx ends: what is still on its way then
// is unknown too.
func awaitAll(ctx context.Context, parts []*part) (anyUnknown bool) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		var first *part
		for _, p := range parts {
			if p.proposal == nil {
				continue
			}
			select {
			case <-p.proposal.Done():
				anyUnknown = p.end(p.proposal.Err()) || anyUnknown
			default:
				if first == nil {
					first = p
				}
			}
		}
		switch {
		case first == nil:
			return anyUnknown
		case anyUnknown:
			endAll(parts, func(Proposal) error { return fmt.Errorf("not waited for: %w", ErrUnknown) })
			return true
		}
		select {
		case <-first.proposal.Done():
		case <-tick.C:
		case <-ctx.Done():
			cause := context.Cause(ctx)
			return endAll(parts, func(p Proposal) error { return settledLate(p, cause) }) || anyUnknown
		}
	}
}

// end notes the outcome of a part's proposal and reports whether it is unknown.
func (p *part) end(err error) bool {
	p.err, p.proposal = err, nil
	p.outcome, p.leader = judge(err)
	return p.outcome == unknown
}

// endAll ends every part that still waits.
func endAll(parts []*part, why func(Proposal) error) (anyUnknown bool) {
	for _, p := range parts {
		if p.proposal != nil {
			anyUnknown = p.end(why(p.proposal)) || anyUnknown
		}
	}
	return anyUnknown
}

// settleGrace is how long a proposal gets, after its deadline has passed, to
// say by itself whether it was still in the queue (not applied) or not.
const settleGrace = 100 * time.Millisecond

func settledLate(p Proposal, cause error) error {
	select {
	case <-p.Done():
		return p.Err()
	default:
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		t := time.NewTimer(settleGrace)
		defer t.Stop()
		select {
		case <-p.Done():
			return p.Err()
		case <-t.C:
		}
	}
	return fmt.Errorf("%w: %w", ErrUnknown, cause)
}

// forward sends parts to another node and reports whether an outcome is
// unknown.
func (g *Gateway) forward(ctx context.Context, f forward) (anyUnknown bool) {
	payload := appendParts(make([]byte, 0, partsSize(f.parts)), f.parts)
	reply, err := g.cfg.Peers.Call(ctx, f.to, MethodWrite, payload)
	if err == nil {
		err = readOutcomes(reply, len(f.parts), func(i int, o outcome, leader, text string) {
			p := f.parts[i]
			p.outcome, p.leader = o, leader
			p.err = partError(o, f.to.Name, leader, text)
		})
		if err != nil {
			err = fmt.Errorf("answer of node %s: %w: %w", f.to.Name, ErrBroken, err)
		}
	} else {
		err = fmt.Errorf("forward to node %s: %w", f.to.Name, err)
	}
	for _, p := range f.parts {
		if err != nil {
			p.outcome, p.leader = judge(err)
			if p.outcome != notApplied || p.err == nil || ctx.Err() == nil { // that time is up says less than what it was spent on
				p.err = err
			}
		}
		anyUnknown = anyUnknown || p.outcome == unknown
		g.learn(p)
	}
	return anyUnknown
}

// learn updates the hint of a part's group by what came back.
func (g *Gateway) learn(p *part) {
	switch {
	case p.outcome == applied:
		g.hints.set(p.group, p.failed)
	case p.outcome == notLeader && p.leader != p.failed:
		g.hints.set(p.group, p.leader)
		if p.leader != "" {
			p.failed = ""
		}
	case p.outcome != busy && p.outcome != noSpace:
		if g.hints.get(p.group) == p.failed {
			g.hints.set(p.group, "")
		}
	}
}

// serveWrite proposes the parts of another node's request to the groups here.
// It never forwards: the sender knows more about what it already tried. What
// its own encoder made this node need not read again; what comes from another
// version of it is read to the last row, since a command that cannot be applied
// would spoil the writes that share its log entry.
func (g *Gateway) serveWrite(ctx context.Context, payload []byte) ([]byte, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(g.cfg.WriteTimeout)
	}
	var parts []*part
	err := readParts(payload, func(group uint32, frames []byte) {
		parts = append(parts, &part{group: group, frames: bytes.Clone(frames)})
	})
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	sound := make([]*part, 0, len(parts))
	for _, p := range parts {
		if err := storage.CheckWrite(p.frames); err != nil {
			p.outcome, p.err = refused, fmt.Errorf("write to group %d: %w: %w", p.group, ErrRefused, err)
			continue
		}
		sound = append(sound, p)
	}
	g.proposeAll(sound, deadline)
	awaitAll(ctx, sound)
	return appendOutcomes(make([]byte, 0, 16+4*len(parts)), parts), nil
}
