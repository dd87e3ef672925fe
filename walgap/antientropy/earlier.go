package antientropy

import (
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// A replica that finds rot in its own file has a check of its own made, at once. One that was under way already is
// interrupted by the repair, and finds everything well when it is made again. What it knew before is a finding
// nevertheless, and that it is right now is looked at like any other.

// earlier is something that an interrupted attempt knew to be wrong with a replica.
type earlier struct {
	node   string
	charge charge // without a ruling
}

const mendedMeanwhile = "; it has been repaired meanwhile, by another check"

// knew lists what this attempt knew, and what those before it did.
func (c *check) knew() []earlier {
	out := slices.Clone(c.earlier)
	add := func(node string, on charge) {
		if !slices.ContainsFunc(out, func(e earlier) bool { return e.node == node && e.charge.like(on) }) {
			out = append(out, earlier{node, on})
		}
	}
	for _, h := range c.list {
		if f := h.inspected; f != nil {
			for _, l := range f.Bad {
				add(h.Node, charge{kind: Data, leaf: &l.Leaf, verdict: Unreadable, why: l.Why})
			}
			for _, l := range f.Records {
				add(h.Node, charge{kind: Metadata, leaf: &l, verdict: Wrong, why: wrongRecord})
			}
			if f.Structure != "" {
				add(h.Node, charge{kind: Metadata, verdict: Wrong, why: f.Structure})
			}
		}
		if h.Suspect == nil || h.Suspect.Disputed {
			continue
		}
		for _, l := range h.Suspect.Leaves {
			add(h.Node, charge{kind: Data, leaf: &l, verdict: Wrong, why: h.Suspect.Why})
		}
		if len(h.Suspect.Leaves) == 0 {
			add(h.Node, charge{kind: Metadata, verdict: Wrong, why: h.Suspect.Why})
		}
	}
	return out
}

// inQuestion lists the leaves that earlier attempts knew of.
func inQuestion(list []earlier) []digest.Leaf {
	var out []digest.Leaf
	for _, e := range list {
		if e.charge.leaf != nil {
			out = append(out, *e.charge.leaf)
		}
	}
	return out
}

// mended charges a replica with what earlier attempts knew of it and what is right now, as repaired.
func (c *check) mended(b *blame, right func(on *charge) bool) {
	for _, e := range c.earlier {
		on := e.charge
		if e.node != b.Node || b.err != nil || slices.ContainsFunc(b.charges, on.like) || !right(&on) {
			continue
		}
		on.why, on.action, on.early = text(on.why)+mendedMeanwhile, Repaired, true
		b.charge(on)
	}
}

// rightAtCut reports whether the i-th replica is right, at the cut, about what it is charged with.
func (c *check) rightAtCut(i int, on *charge) bool {
	h := c.list[i]
	if on.leaf == nil {
		return h.inspected != nil && h.inspected.Structure == "" && slices.Contains(Judge(c.place, c.rootOpinions()).Good, h.Node)
	}
	return slices.Contains(c.trial.ruling[*on.leaf].Good, h.Node) && !c.misrecorded(i, *on.leaf)
}
