package walgap

// Judge says how the gap between a leader and a target is closed, by the first condition that holds:
//
//  1. other cluster or group, or unreadable identity: refused.
//  2. the leader has committed nothing in its term: wait. Only when it cannot commit without the target, and the
//     target's log does not take its entries either, is a copy made of its snapshot record, which is committed;
//     a target that has applied more than the record holds has to wait.
//  3. the data failed their own checksums: full.
//  4. nothing there, neither data nor log: replay where the group holds no point and the leader's log begins at 1,
//     else full.
//  5. data of another lineage: delta.
//  6. applied above the leader's last entry, or of another term than the leader knows there: diverged, delta.
//  7. the target's last entry is the leader's: none.
//  8. the leader knows an entry of the target's from applied on: replay, unless it is dearer than copying.
//  9. older data of this lineage: delta.
//  10. anything else: full.
//
// Rows 3 to 6, 9 and 10 make copies. Where no cut can commit they are made of the snapshot record, under the rule of
// row 2. A replica without data whose log takes the leader's entries is not "nothing there": its log holds what was
// acknowledged and is not flushed yet. There is no delta without sound data to compare with: then it is full.
func Judge(l Leader, t Target, r Rates, m Mode) Verdict {
	g := gap{leader: l, target: t, rates: r.bounded()}
	if v, refused := g.foreign(); refused {
		return v
	}
	if v, contradicts := g.read(); contradicts {
		return v
	}
	if !l.Committed && l.CanCommit {
		return wait(Uncommitted, "the leader has committed nothing in its term yet: what it holds may not be final", firstCommit)
	}
	v := g.auto()
	if !l.Committed && !v.Kind.Copies() {
		return wait(Uncommitted, "the leader can commit nothing without this replica, whose log takes the leader's entries from "+
			count(g.meet+1)+" on: it commits with it", firstCommit)
	}
	return g.fromRecord(g.forced(m, v))
}

// firstCommit is what a leader of a new term waits for.
const firstCommit = "a first commit of the leader's own term"

// gap is one judgement under way.
type gap struct {
	leader Leader
	target Target
	rates  Rates

	led, held history // what the leader's log and the target's say, see history.go
	meet      uint64  // the highest index at or above applied that both hold alike
	meets     bool    // there is one
	sound     bool    // the target has data, undamaged, and says coherently up to where
}

// foreign is row 1.
func (g *gap) foreign() (Verdict, bool) {
	l, t := &g.leader, &g.target
	switch {
	case !t.Readable:
		return refuse(Foreign, "its identity cannot be read (%s): nobody can say whose data these are", orUnknown(t.Damage)), true
	case l.Cluster != t.Cluster:
		return refuse(Foreign, "it is a replica of cluster %s, and the leader is of cluster %s", name(t.Cluster), name(l.Cluster)), true
	case l.Group != t.Group:
		return refuse(Foreign, "it holds group %d, and the leader leads group %d", t.Group, l.Group), true
	}
	return Verdict{}, false
}

// read makes histories of the two reports. A leader's report that contradicts itself was made while its log changed:
// another one will do.
func (g *gap) read() (Verdict, bool) {
	led, why := g.leader.history()
	if why != "" {
		return wait(Contradicts, "the leader's report contradicts itself: "+why, "a new report of the leader"), true
	}
	g.led, g.held = led, g.target.history()
	g.sound = g.target.HasData && g.target.Damage == "" && g.target.coherent()
	if g.sameLineage() {
		g.meet, g.meets = meeting(g.led, g.held)
	}
	return Verdict{}, false
}

// auto is rows 3 to 10.
func (g *gap) auto() Verdict {
	l, t := &g.leader, &g.target
	switch {
	case t.Damage != "":
		return g.full(Damaged, "its data are damaged (%s): nothing of them is used", t.Damage)
	case !t.HasData && g.held.last == 0 && t.Applied == (Position{}):
		return g.empty()
	case !t.coherent():
		return g.full(Unknown, "unknown: it says that it applied %s, and that it holds %s", at(t.Applied), someData(t.HasData))
	case !g.sameLineage():
		return g.delta(OtherLineage, "what it holds is of lineage %s, and the group goes on in %s: their indices cannot be compared",
			name(t.Lineage), name(l.Lineage))
	case g.ahead():
		return g.delta(Diverged, "diverged: it applied %s, and the leader's log ends at %s", at(t.Applied), count(g.led.last))
	case g.diverged():
		term, _ := g.led.termAt(t.Applied.Index)
		return g.delta(Diverged, "diverged: the entry %s that it applied is of term %d, and the leader's is of term %d",
			count(t.Applied.Index), t.Applied.Term, term)
	case g.held.end() == g.led.end():
		return g.none()
	case g.meets:
		return g.replayOrCopy()
	case g.sound:
		return g.delta(Older, "%s", g.hole())
	}
	return g.full(Unknown, "unknown: it has no data, and %s", g.hole())
}

// empty is row 4.
func (g *gap) empty() Verdict {
	l := &g.leader
	if l.Points == 0 && g.led.first == 1 {
		return g.replay(Empty, 1, "it holds nothing, and the group has no points yet: the log has all of its %s", entries(g.led.last))
	}
	if g.led.first > 1 {
		return g.full(Empty, "it holds nothing, and the leader's log begins at %s", count(g.led.first))
	}
	return g.full(Empty, "it holds nothing, and the group has %s", points(l.Points))
}

// none is row 7.
func (g *gap) none() Verdict {
	return Verdict{Decided: true, Kind: None, Row: Level,
		Reason: "nothing is missing: its log ends where the leader's does, at " + at(g.led.end())}
}

// replayOrCopy is row 8. Where no copy can be made there is nothing to compare the price with.
func (g *gap) replayOrCopy() Verdict {
	missing := g.led.last - g.meet
	v := g.replay(Connected, g.meet+1, "%s", lacks(g.meet+1, g.led.last))
	if _, blocked := g.recordBlocks(); blocked {
		return v
	}
	copied := g.delta(Dear, "")
	if !(v.Seconds > copied.Seconds) {
		return v
	}
	copied.Reason = entries(missing) + " are missing, and the leader's log holds them, but replaying takes " + seconds(v.Seconds) +
		" and copying " + seconds(copied.Seconds) + " (" + size(copied.Bytes) + ")"
	return copied
}

// forced is what a mode makes of a verdict.
func (g *gap) forced(m Mode, v Verdict) Verdict {
	byItself := "; by itself: " + v.Kind.String() + ", " + v.Reason
	switch {
	case m == FullSync:
		return g.full(Asked, "full-sync was asked for%s", byItself)
	case m == PartialSync && g.sound:
		return g.delta(Asked, "partial-sync was asked for%s", byItself)
	case m == PartialSync:
		return g.full(Asked, "partial-sync was asked for, but there are no sound data to compare with%s", byItself)
	}
	return v
}

func (g *gap) sameLineage() bool { return g.leader.Lineage == g.target.Lineage }

// ahead is the first half of row 6, diverged the second.
func (g *gap) ahead() bool { return g.target.Applied.Index > g.led.last }

func (g *gap) diverged() bool {
	term, known := g.led.termAt(g.target.Applied.Index)
	return known && term != g.target.Applied.Term
}
