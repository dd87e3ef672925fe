package directory

import (
	"context"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/placement"
)

// assignBatch bounds the assignments of one command.
const assignBatch = 1024

// assign fills groups that have fewer replicas than the factor and spreads
// primaries. Only the leader calls it.
func (d *Directory) assign(ctx context.Context) {
	t := d.Table()
	p := d.cfg.Policy(t)
	if !p.AutoAssigner || len(t.Assignments) == 0 {
		return
	}
	plan := placement.Plan(t.SortedAssignments(), placeable(t, d.cfg.Alive), p.Factor, p.Placement)
	for batch := range slices.Chunk(plan, assignBatch) {
		c := Assign{Assignments: batch}.stamped(d.cfg.Now())
		ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
		r := d.applyHere(ctx, Encode(c))
		cancel()
		if r.code != codeOK {
			d.logger.Warn("the assigner's plan was not committed", "groups", len(plan), "why", r.text)
			return
		}
	}
	if len(plan) > 0 {
		d.logger.Info("the assigner changed assignments", "groups", len(plan))
	}
}

// Settle says that the replicas of a group are what its assignment of that
// epoch wants: the state becomes active. The group's leader calls it when its
// configuration has been brought to the assignment. A newer epoch: ErrStale.
func (d *Directory) Settle(ctx context.Context, group uint32, epoch uint64) error {
	a, ok := d.Table().Assignments[group]
	switch {
	case !ok:
		return refuse(codeNotFound, "group %d", group)
	case a.Epoch != epoch:
		return refuse(codeStale, "group %d is at epoch %d, not %d", group, a.Epoch, epoch)
	case a.State == membership.GroupActive:
		return nil
	}
	a = a.Clone()
	a.State = membership.GroupActive
	_, err := d.Apply(ctx, Assign{Assignments: []membership.Assignment{a}})
	return err
}

// Replace gives one holder's place in a group to another node, the primary's
// too. It goes from the assignment of that epoch: ErrStale if there is a newer
// one. Reconcile carries it out, the new replica first.
func (d *Directory) Replace(ctx context.Context, group uint32, epoch uint64, from, to string) (membership.Assignment, error) {
	a, ok := d.Table().Assignments[group]
	switch {
	case !ok:
		return a, refuse(codeNotFound, "group %d", group)
	case a.Epoch != epoch:
		return a, refuse(codeStale, "group %d is at epoch %d, not %d", group, a.Epoch, epoch)
	}
	a, err := placement.Replace(a, from, to)
	if err != nil {
		return a, refuse(codeInvalid, "%v", err)
	}
	if _, err = d.Apply(ctx, Assign{Assignments: []membership.Assignment{a}}); err != nil {
		return a, err
	}
	return d.Table().Assignments[group], nil
}
