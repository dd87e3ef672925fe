package antientropy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// withoutCut compares what the replicas have applied now. Done: there is nothing more to do. That all stand at one place
// with one root is as good a proof as one at a cut, and costs nothing but the roots.
func (c *check) withoutCut(ctx context.Context) (done bool, err error) {
	var interrupted error
	ask(ctx, c.list, callBound, func(ctx context.Context, h *heard) (Statement, error) {
		return c.cluster().Standing(ctx, c.group, h.Node)
	}, func(h *heard, said Statement, err error) {
		h.said, h.err = said, err
		interrupted = c.interruption(interrupted, h, err)
	})
	if err := errors.Join(interrupted, context.Cause(ctx)); err != nil {
		return true, err
	}
	at, _ := Commonest(c.rootOpinions())
	c.place = at
	equal := AllEqual(at, c.rootOpinions()) && !c.doubted()
	if equal {
		c.agree(ctx)
	}
	if c.options.Mode == AdvancedVerify {
		if c.report.Equal, c.report.Quick = equal, equal; !equal {
			c.forget()
		}
		c.compared()
		return equal, nil
	}
	c.compared()
	if c.options.Deep { // of who stands elsewhere, too: what it finds in its own bytes needs nobody to compare with
		if err := c.inspect(ctx, ""); err != nil {
			return true, err
		}
	}
	for _, h := range c.list {
		if h.err == nil && h.said.Place != at {
			h.err = &apart{c.places()}
			c.report.Passing = true
		}
	}
	c.report.Equal, c.report.Quick = equal, true
	c.judgeRoots()
	if c.options.Repair && len(c.blames) > 0 {
		c.forget() // a repair needs a cut, and a judgement at one
		c.blames, c.report.Quick, c.report.Passing = nil, false, false
		return false, nil
	}
	return true, nil
}

// apart: the replicas stand at different places.
type apart struct{ where string }

func (e *apart) Error() string { return "the replicas stand at different places: " + e.where }

func (c *check) places() string {
	var out []string
	for _, h := range c.list {
		if h.err == nil || errors.As(h.err, new(*apart)) {
			out = append(out, fmt.Sprintf("%s at %d", h.Node, h.said.Index))
		}
	}
	return strings.Join(out, ", ")
}

// forget makes the replicas be heard anew.
func (c *check) forget() {
	for i, h := range c.list {
		c.list[i] = hear([]Member{h.Member})[0]
	}
}

func (c *check) compared() {
	for _, h := range c.list {
		if h.err == nil {
			c.report.BytesCompared += h.said.Bytes
		}
	}
}

// doubted reports whether anybody doubts a replica that may have the right root: that of stored digests.
func (c *check) doubted() bool {
	for _, h := range c.list {
		if h.Suspect != nil || len(h.said.Doubts) > 0 {
			return true
		}
	}
	return false
}

// judgeRoots blames by the roots alone, and by what each found in reading its own; nobody is marked by it.
func (c *check) judgeRoots() {
	opinions := c.rootOpinions()
	for i, h := range c.list {
		if opinions[i].Stance == Says && len(h.said.Doubts) > 0 { // its root is not one of leaves that it can read
			opinions[i].Stance = Blind
		}
	}
	ruling := Judge(c.place, opinions)
	for _, h := range c.list {
		b := &blame{heard: h}
		why := whoSays(c.place, opinions)
		if slices.Contains(ruling.Wrong, h.Node) {
			b.charge(charge{kind: Data, verdict: Wrong, why: why})
		}
		if slices.Contains(ruling.Disputed, h.Node) {
			b.charge(charge{kind: Data, verdict: Disputed, why: why})
		}
		if f := h.inspected; f != nil {
			for _, l := range f.Bad {
				b.charge(charge{kind: Data, leaf: &l.Leaf, verdict: Unreadable, why: l.Why})
			}
			for _, l := range f.Records {
				b.charge(charge{kind: Metadata, leaf: &l, verdict: Wrong, why: wrongRecord})
			}
		}
		h.known(b)
		c.mended(b, func(*charge) bool { return c.report.Equal })
		c.blame(b)
	}
}

// known adds what a replica is under suspicion of already, or does not trust itself: nothing was read to find it
// groundless.
func (h *heard) known(b *blame) {
	once := func(on charge) {
		if !slices.ContainsFunc(b.charges, on.like) {
			b.charge(on)
		}
	}
	if h.err != nil {
		return
	}
	for _, leaf := range h.said.Doubts {
		once(charge{kind: Data, leaf: &leaf, verdict: Unreadable, why: "it could not be read before"})
	}
	if h.Suspect == nil {
		return
	}
	verdict := Wrong
	if h.Suspect.Disputed {
		verdict = Disputed
	}
	for _, leaf := range h.Suspect.Leaves {
		once(charge{kind: Data, leaf: &leaf, verdict: verdict, why: "accused before: " + text(h.Suspect.Why)})
	}
	if len(h.Suspect.Leaves) == 0 && (h.inspected == nil || h.inspected.Structure == "") {
		once(charge{kind: Metadata, verdict: verdict, why: "accused before: " + text(h.Suspect.Why)})
	}
}
