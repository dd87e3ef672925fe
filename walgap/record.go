package walgap

// Copies where no cut can commit.
//
// A cut is an entry of the log, and where the target is needed for the quorum no entry commits until it is back. What
// the leader's snapshot record names is committed all the same: the copy is made of that, and the log's entries above
// it follow. A record below what the target has applied would take it back behind entries that it may have
// acknowledged, so that one waits: for another voter, or for a leader that has applied and flushed more.

// fromRecord turns a verdict that copies into one that copies the record, or waits, where no cut can commit.
func (g *gap) fromRecord(v Verdict) Verdict {
	if g.leader.CanCommit || !v.Decided || !v.Kind.Copies() {
		return v
	}
	if why, blocked := g.recordBlocks(); blocked {
		w := wait(NoRecord, why+"; what it needs is a copy: "+v.Reason, "another voter of the group, or a newer record of the leader")
		w.Alarm = true
		return w
	}
	v.FromRecord = true
	v.Seconds += g.rates.replaySeconds(g.led.last-g.leader.Record.Index, 0)
	v.Reason += "; no cut can commit without it: the copy is what the leader had flushed at " + at(g.leader.Record)
	return v
}

// recordBlocks says why no copy can be made now.
func (g *gap) recordBlocks() (why string, blocked bool) {
	record, applied := g.leader.Record, g.target.Applied
	switch {
	case g.leader.CanCommit:
		return "", false
	case record.Index == 0:
		return "no cut can commit without this replica, and the leader has flushed nothing yet", true
	case g.sameLineage() && applied.Index > record.Index:
		return "no cut can commit without this replica, which has applied " + count(applied.Index) +
			", and the leader has flushed up to " + count(record.Index) + " only", true
	}
	return "", false
}
