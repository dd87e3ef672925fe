package antientropy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/storage/digest"
)

const wrongRecord = "the stored digest is not that of the bytes"

// blame is everything that one replica is charged with.
type blame struct {
	*heard
	charges []charge
	marked  bool // it was accused: it may be repaired
}

// charge is a finding in the making.
type charge struct {
	kind    Kind
	leaf    *digest.Leaf // nil: of the replica as a whole
	verdict Verdict
	good    []string // who has what is right
	right   digest.LeafDigest
	why     string
	action  Action
	early   bool // an interrupted attempt knew it, and it is right now
	late    bool // only a later cut showed it: it is not marked, and left to the next check
	touched
}

func (b *blame) charge(c charge) { b.charges = append(b.charges, c) }

// due reports whether a repair could mend it: there is somebody to copy from, or it is the node's own log.
func (c *charge) due(self string) bool {
	switch {
	case c.verdict == Harmless || c.verdict == Disputed || c.action == Repaired || c.late:
		return false
	}
	return c.own() || slices.ContainsFunc(c.good, func(n string) bool { return n != self })
}

// own reports whether it is of the log or the votes, which the node mends by itself.
func (c *charge) own() bool { return c.kind == Log || c.kind == Metadata && c.verdict == Unreadable }

// blame keeps what a replica is charged with, and adds what it found in reading its own.
func (c *check) blame(b *blame) {
	if f := b.inspected; f != nil {
		if f.Structure != "" {
			ruling := Judge(c.place, c.rootOpinions())
			b.charge(charge{kind: Metadata, verdict: Wrong, good: ruling.Good, why: f.Structure})
		}
		for _, l := range f.Log {
			kind, action := Log, NoAction
			if l.Votes {
				kind = Metadata
			}
			if l.Repaired {
				action = Repaired
			}
			b.charge(charge{kind: kind, verdict: Unreadable, why: l.Why, action: action})
		}
		for _, why := range f.Harmless {
			b.charge(charge{kind: Free, verdict: Harmless, why: why, action: LeftAlone})
		}
	}
	if len(b.charges) > 0 {
		c.blames = append(c.blames, b)
	}
}

// chargeLeaf charges the i-th replica with what the ruling of a leaf says of it.
func (c *check) chargeLeaf(b *blame, i int, leaf digest.Leaf) {
	ruling := c.trial.ruling[leaf]
	on := charge{kind: Data, leaf: &leaf, good: ruling.Good, right: ruling.Right}
	node := b.Node
	switch {
	case slices.Contains(ruling.Wrong, node):
		on.verdict = Wrong
	case slices.Contains(ruling.Disputed, node):
		on.verdict = Disputed
	case slices.Contains(ruling.Unreadable, node):
		on.verdict = Unreadable
	case c.misrecorded(i, leaf):
		on.kind, on.verdict, on.why = Metadata, Wrong, wrongRecord
		b.charge(on)
		return
	default:
		return
	}
	on.why = whoSays(c.place, c.leafOpinions(leaf))
	if said := c.trial.log[leaf]; said != "" {
		on.why += "; " + said
	}
	if why := c.trial.read[i][leaf].Why; why != "" {
		on.why += ": " + text(why)
	}
	b.charge(on)
}

// misrecorded reports whether the stored digest of the i-th replica is not that of the bytes, which nobody found wrong.
func (c *check) misrecorded(i int, leaf digest.Leaf) bool {
	stored, read := c.trial.stored[i][leaf], c.trial.read[i][leaf]
	return c.trial.tried[i] && !stored.Unreadable && stored.LeafDigest != read.LeafDigest
}

// whoSays is the line that tells who says what.
func whoSays(place Place, opinions []Opinion) string {
	var contents []digest.LeafDigest
	who := map[digest.LeafDigest][]string{}
	var blind []string
	for _, o := range opinions {
		switch o.at(place) {
		case Blind:
			blind = append(blind, o.Node)
		case Says:
			if who[o.Content] == nil {
				contents = append(contents, o.Content)
			}
			who[o.Content] = append(who[o.Content], o.Node)
		}
	}
	var parts []string
	for _, content := range contents {
		parts = append(parts, fmt.Sprintf("%s: %s", strings.Join(who[content], ", "), named(content)))
	}
	if len(blind) > 0 {
		parts = append(parts, strings.Join(blind, ", ")+": unreadable")
	}
	return strings.Join(parts, "; ")
}

// named is a content as people tell it from others.
func named(content digest.LeafDigest) string {
	if content == (digest.LeafDigest{}) {
		return "no such leaf"
	}
	return content.ID.String()[:12]
}

// findings turns the charges into the report's, the most telling first where there are too many of them.
func (c *check) findings(r *Report) {
	mended := true
	for pass := range 2 { // of the replica as a whole first
		for _, b := range c.blames {
			for _, on := range b.charges {
				if (on.leaf == nil) != (pass == 0) {
					continue
				}
				r.FindingsTotal++
				r.Damaged = r.Damaged || on.verdict != Harmless
				r.Disputed = r.Disputed || on.verdict == Disputed
				mended = mended && (on.action == Repaired || on.verdict == Harmless)
				if len(r.Findings) < MaxFindings {
					r.Findings = append(r.Findings, on.finding(c.group, b.Node))
				}
			}
		}
	}
	r.Repaired = r.Damaged && mended
}

func (c *charge) finding(group uint32, node string) Finding {
	return Finding{
		Group: group, Node: node, Kind: c.kind, Leaf: c.leaf, From: c.from, To: c.to, Devices: c.devices, More: c.more,
		Verdict: c.verdict, Action: c.action, Why: text(c.why),
	}
}
