package directory

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/placement"
)

// births gives birth to groups on the leader, in rounds: what is asked for
// while a round is under way waits for the next one, which commits one command
// for all. A round without a group to be born only confirms the leader.
type births struct {
	d    *Directory
	wake chan struct{} // capacity 1

	mu   sync.Mutex // guards next
	next *round     // gathers requests; nil: none waits
}

type round struct {
	groups []uint32 // at most MaxRequests * total groups, duplicates included
	done   chan struct{}
	answer reply // valid once done is closed
}

func newBirths(d *Directory) *births { return &births{d: d, wake: make(chan struct{}, 1)} }

// EnsureGroups makes sure that groups exist, and that this node's table knows
// them. It waits for a leader and for nodes as long as ctx lives.
func (d *Directory) EnsureGroups(ctx context.Context, groups []uint32) error {
	missing := d.Table().Missing(groups)
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	p, err := d.submit(ctx, request{op: opRound, body: encodeGroups(missing), repeat: true})
	if err != nil {
		return fmt.Errorf("give birth to %d groups: %w", len(missing), err)
	}
	return d.WaitFor(ctx, p.index)
}

// Confirm waits until this node's table holds all that was committed when
// Confirm was called. What is not in the table then did not exist.
func (d *Directory) Confirm(ctx context.Context) (*Table, error) {
	p, err := d.submit(ctx, request{op: opRound, body: encodeGroups(nil), repeat: true})
	if err != nil {
		return nil, fmt.Errorf("confirm the table: %w", err)
	}
	if err := d.WaitFor(ctx, p.index); err != nil {
		return nil, err
	}
	return d.Table(), nil
}

// ask joins the next round and waits for its answer.
func (b *births) ask(ctx context.Context, groups []uint32) reply {
	if total := b.d.Table().TotalGroups; slices.ContainsFunc(groups, func(g uint32) bool { return g >= total }) {
		return reply{code: codeInvalid, text: fmt.Sprintf("a group beyond the %d of this cluster", total)}
	}
	b.mu.Lock()
	if b.next == nil {
		b.next = &round{done: make(chan struct{})}
	}
	r := b.next
	r.groups = append(r.groups, groups...)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	select {
	case <-r.done:
		return r.answer
	case <-ctx.Done():
		return reply{code: codeUnknown, text: ctx.Err().Error()}
	case <-b.d.stopped:
		return reply{code: codeUnknown, text: ErrClosed.Error()}
	}
}

func (b *births) run(ctx context.Context) {
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
		b.mu.Lock()
		r := b.next
		b.next = nil
		b.mu.Unlock()
		if r != nil {
			r.answer = b.answer(ctx, r.groups)
			close(r.done)
		}
	}
}

// answer carries a round out. A committed birth confirms the leader as well.
func (b *births) answer(ctx context.Context, groups []uint32) reply {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	if !b.d.isReady() {
		return reply{code: codeNotApplied, text: "the leader has not applied its log yet"}
	}
	t := b.d.Table()
	slices.Sort(groups)
	missing := t.Missing(slices.Compact(groups))
	if len(missing) == 0 {
		return b.d.confirmLeader(ctx)
	}
	command, ok := PlanBirths(t, missing, b.d.cfg.Policy(t), b.d.cfg.Alive, uuid.NewString)
	if !ok {
		return reply{code: codeNoNodes, text: ErrNoNodes.Error()}
	}
	c := command.stamped(b.d.cfg.Now())
	if err := c.check(); err != nil {
		return reply{code: codeInvalid, text: err.Error()}
	}
	p := b.d.applyHere(ctx, Encode(c))
	if p.code == codeStale { // a node was replaced meanwhile
		p.code = codeNotApplied
	}
	return p
}

// PlanBirths chooses the holders of new groups, in ascending order, each with
// the loads that the ones before leave. There are min(factor, placeable nodes)
// of them; nodes that seem to be down are taken only where the others do not
// suffice. It reports false when no node is placeable.
func PlanBirths(t *Table, groups []uint32, p Policy, alive func(membership.NodeID) bool, lineage func() string) (Bear, bool) {
	candidates := placeable(t, nil)
	if len(candidates) == 0 {
		return Bear{}, false
	}
	factor := min(p.Factor, len(candidates))
	if living := placeable(t, alive); len(living) >= factor {
		candidates = living
	}
	picker := placement.NewPicker(candidates, p.Placement)
	loads := placement.CountLoads(t.SortedAssignments())
	var c Bear
	for _, g := range groups {
		choice := picker.Choose(g, loads, factor)
		loads.Add(choice)
		birth := membership.Birth{Group: g, Lineage: lineage(), Epoch: 1}
		for _, name := range append([]string{choice.Primary}, choice.Replicas...) {
			birth.Voters = append(birth.Voters, t.Nodes[name].Server(0))
		}
		c.Births = append(c.Births, birth)
	}
	return c, true
}

// placeable lists the nodes that may be given replicas; alive nil: all of them.
func placeable(t *Table, alive func(membership.NodeID) bool) []placement.Node {
	var out []placement.Node
	for _, n := range t.SortedNodes() {
		if n.Placeable && n.State == membership.NodeUp && (alive == nil || alive(n.NodeID)) {
			out = append(out, placement.Node{Name: n.Name, Zone: n.Zone})
		}
	}
	return out
}
