package antientropy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// repair mends one replica after the other, each followed by a check at a later cut: only that makes it repaired.
func (c *check) repair(ctx context.Context) {
	blamed := map[string]bool{}
	for _, b := range c.blames {
		blamed[b.Node] = b.suspicion(time.Time{}) != nil
	}
	for _, b := range c.blames { // whom a later cut blames, the next check repairs
		sound := false
		for ctx.Err() == nil {
			plan, charges := planRepair(b, blamed)
			if len(charges) == 0 {
				break
			}
			if sound = c.attempt(ctx, b, plan, charges); !sound {
				break
			}
		}
		if sound && ctx.Err() == nil {
			blamed[b.Node] = false
			c.release(ctx, b)
		}
	}
}

// attempt has charges of one replica mended, and notes what became of it.
func (c *check) attempt(ctx context.Context, b *blame, plan Repair, charges []int) bool {
	err := c.mend(ctx, b, plan, charges)
	if ctx.Err() != nil {
		return false
	}
	action := Repaired
	if err != nil {
		action = RepairFailed
		c.report.Passing = true
		c.logger.Error("a replica was not repaired", "node", b.Node, "error", err)
	} else {
		c.logger.Info("a replica is repaired and was found equal", "node", b.Node, "leaves", len(plan.Leaves), "index", c.place.Index)
	}
	for _, i := range charges {
		b.charges[i].action = action
	}
	return err == nil
}

// planRepair says what a repair of a replica copies from whom, and which of its charges that mends. All of it comes from
// nodes that hold all of it right: the one that is right about the most charges, and its like; of these, those that are
// not blamed for something else, if there are such.
func planRepair(b *blame, blamed map[string]bool) (r Repair, charges []int) {
	if !b.marked {
		return r, nil
	}
	count := map[string]int{}
	best := ""
	for _, on := range b.charges {
		if on.own() || !on.due(b.Node) {
			continue
		}
		for _, n := range on.good {
			if n == b.Node {
				continue
			}
			count[n]++
			if best == "" || count[n] > count[best] || count[n] == count[best] && blamed[best] && !blamed[n] {
				best = n
			}
		}
	}
	for i, on := range b.charges {
		switch {
		case !on.due(b.Node):
			continue
		case on.own():
			r.Log = true
		case !slices.Contains(on.good, best):
			continue
		default:
			r.keep(on, b.Node)
		}
		charges = append(charges, i)
		if r.Why == "" {
			r.Why = text(on.why)
		}
	}
	clean := slices.DeleteFunc(slices.Clone(r.Good), func(n string) bool { return blamed[n] })
	if len(clean) > 0 {
		r.Good = clean
	}
	slices.SortFunc(r.Leaves, digest.Leaf.Compare)
	return r, charges
}

// keep adds a charge: who is not right about it gives nothing.
func (r *Repair) keep(on charge, self string) {
	if r.Good == nil {
		r.Good = slices.Clone(on.good)
	}
	r.Good = slices.DeleteFunc(r.Good, func(n string) bool { return n == self || !slices.Contains(on.good, n) })
	if on.leaf != nil {
		r.Leaves = append(r.Leaves, *on.leaf)
	} else {
		r.Structure = true
	}
}

// mend has one replica repaired, and checks it at a later cut. What waits for others keeps no seat from them.
func (c *check) mend(ctx context.Context, b *blame, plan Repair, charges []int) error {
	c.options.Seat.Leave()
	waiting, cancel := context.WithTimeout(ctx, turnBound)
	defer cancel()
	release, err := c.engine.nodes.take(waiting, b.Node, nil)
	if err != nil {
		return fmt.Errorf("other repairs of node %s have not ended within %v: %w", b.Node, turnBound, err)
	}
	defer release()
	healed := false
	if len(plan.Good) > 0 {
		if healed, err = c.awaitFollower(ctx, b.Node); err != nil {
			return err
		}
	}
	if !healed {
		bounded, cancel := context.WithTimeout(ctx, repairBound)
		defer cancel()
		if err := c.cluster().Repair(bounded, c.group, b.Node, plan); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
	}
	if err := c.options.Seat.Return(ctx); err != nil {
		return err
	}
	for t := newTries(); ; {
		again, err := c.recheck(ctx, b, charges, t)
		if err == nil {
			c.adopt(again)
			return again.cleared(b, charges)
		}
		if ctx.Err() != nil || !t.again(ctx, c, err) || c.options.Seat.Return(ctx) != nil {
			return fmt.Errorf("check again: %w", err)
		}
	}
}

// awaitFollower waits until a replica does not lead: what leads is not mended under its own eyes. One that leads and against which
// nothing is held any more has been copied since it was accused (a node brings back what it lacks by itself), and
// has no reason to hand over: it has healed, and the check at a later cut says whether that is so.
func (c *check) awaitFollower(ctx context.Context, node string) (healed bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, handOverWait)
	defer cancel()
	for wait := handOverFirst; ; wait = min(2*wait, handOverPoll) {
		members, err := c.cluster().Members(bounded, c.group)
		i := slices.IndexFunc(members, func(m Member) bool { return m.Node == node && m.Leader })
		if err == nil && (i < 0 || members[i].Suspect == nil) {
			return i >= 0, nil
		}
		if pause.For(bounded, wait) != nil {
			return false, errors.Join(errors.New("it has not handed its leadership over"), err, ctx.Err())
		}
	}
}

// recheck makes a check at a cut of its own, which must be a later one. It blames and marks nobody.
func (c *check) recheck(ctx context.Context, b *blame, charges []int, t *tries) (*check, error) {
	again := &check{
		engine: c.engine, group: c.group, last: t.last(), patient: t.patient(), logger: c.logger, options: Options{Progress: c.options.Progress},
		extra: c.trial.leaves,
	}
	for _, i := range charges {
		if b.charges[i].leaf == nil {
			again.reads = b.Node
		}
	}
	defer func() { // what it read counts, whatever comes of it
		c.report.BytesRead += again.report.BytesRead
		c.report.BytesCompared += again.report.BytesCompared
	}()
	if err := again.summon(ctx); err != nil {
		return nil, err
	}
	ctx, end, err := again.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if again.place.Index <= c.place.Index {
		return nil, fmt.Errorf("%w: cut at %d after one at %d", ErrMoved, again.place.Index, c.place.Index)
	}
	if err := again.compare(ctx); err != nil {
		return nil, err
	}
	return again, again.judge(ctx)
}

// cleared says why a replica is not equal yet.
func (c *check) cleared(b *blame, charges []int) error {
	i := slices.IndexFunc(c.list, func(h *heard) bool { return h.Node == b.Node })
	if i < 0 {
		return fmt.Errorf("%w: it is not assigned any more", ErrMoved)
	}
	h := c.list[i]
	if h.err != nil {
		return fmt.Errorf("check again: %w", h.err)
	}
	if !slices.Contains(Judge(c.place, c.restOpinions()).Good, b.Node) {
		return errors.New("no majority can be heard at a later cut, or the file cannot be read")
	}
	for _, n := range charges {
		on := &b.charges[n]
		if on.leaf != nil {
			if !slices.Contains(c.trial.ruling[*on.leaf].Good, b.Node) || c.misrecorded(i, *on.leaf) {
				return fmt.Errorf("leaf %s is not right at a later cut", on.leaf)
			}
			continue
		}
		switch f := h.inspected; {
		case f == nil:
			return fmt.Errorf("it was not read again: %w", h.notRead)
		case f.Structure != "":
			return fmt.Errorf("at a later cut: %s", text(f.Structure))
		case slices.ContainsFunc(f.Log, func(l LogDamage) bool { return !l.Repaired }):
			return errors.New("its log or votes are damaged at a later cut")
		}
	}
	return nil
}

// restOpinions are the replicas' opinions of all that is not in question. Those who are there say the same of it: where
// their roots differ, the leaves in question are all that differ. So the root of one that is right about what was repaired
// needs to be nobody's: the others may be wrong about something else.
func (c *check) restOpinions() []Opinion {
	out := c.rootOpinions()
	for i := range out {
		out[i].Content = digest.LeafDigest{}
	}
	return out
}

// adopt makes a later check's place and equality the report's, and adds what only that found.
func (c *check) adopt(again *check) {
	for _, h := range again.list {
		for _, old := range c.list {
			if old.Node == h.Node && h.notRead == nil {
				h.notRead = old.notRead
			}
		}
	}
	c.list, c.place, c.report.Equal = again.list, again.place, again.report.Equal
	for _, b := range again.blames {
		i := slices.IndexFunc(c.blames, func(x *blame) bool { return x.Node == b.Node })
		if i < 0 {
			c.blames = append(c.blames, b)
			c.report.Passing = true
			continue
		}
		for _, on := range b.charges {
			if !slices.ContainsFunc(c.blames[i].charges, on.like) {
				on.late = true
				c.blames[i].charge(on)
				c.report.Passing = true
			}
		}
	}
}

// like reports whether another charge is about the same.
func (c *charge) like(o charge) bool {
	if c.leaf == nil || o.leaf == nil {
		return c.leaf == o.leaf && c.kind == o.kind && (c.kind != Free || c.why == o.why)
	}
	return *c.leaf == *o.leaf
}

// release lifts the suspicion of a replica that has nothing left to be repaired.
func (c *check) release(ctx context.Context, b *blame) {
	if b.suspicion(time.Time{}) == nil && b.Suspect == nil {
		return
	}
	for _, on := range b.charges {
		if on.verdict != Harmless && on.action != Repaired {
			return
		}
	}
	c.acquit(ctx, b.Node, "it was repaired and found equal at a later cut")
}
