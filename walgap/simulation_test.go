package walgap

// The reference that knows nothing of the table: two logs, entry by entry, and what Raft does with them.

// world is two replicas of one lineage: every entry that either ever held, also those that are trimmed by now.
type world struct {
	leaderTerms, targetTerms []uint64 // the term of entry i+1

	first   uint64 // of the leader's log: older entries are trimmed
	record  uint64 // the leader's snapshot record
	applied uint64 // the target's
	start   uint64 // the target's log begins there
}

func termIn(terms []uint64, i uint64) uint64 {
	if i == 0 {
		return 0
	}
	return terms[i-1]
}

func runsOfTerms(terms []uint64, first uint64) []TermRun {
	var runs []TermRun
	for i := first; i <= uint64(len(terms)); i++ {
		if i == first || termIn(terms, i) != termIn(terms, i-1) {
			runs = append(runs, TermRun{First: i, Term: termIn(terms, i)})
		}
	}
	return runs
}

// reports are what the two replicas of a world say.
func (w world) reports() (Leader, Target) {
	l := Leader{
		Cluster: "c", Group: 7, Lineage: "one", Committed: true, CanCommit: true,
		First: w.first, Last: uint64(len(w.leaderTerms)), Terms: runsOfTerms(w.leaderTerms, w.first),
		Record: Position{w.record, termIn(w.leaderTerms, w.record)},
		Points: 10, Bytes: 1000, Leaves: 2,
	}
	t := Target{
		Cluster: "c", Group: 7, Lineage: "one", Readable: true,
		HasData: w.applied > 0, Applied: Position{w.applied, termIn(w.targetTerms, w.applied)},
		First: w.start, Last: uint64(len(w.targetTerms)), Terms: runsOfTerms(w.targetTerms, w.start), Bytes: 900,
	}
	if w.start > t.Last {
		t.First, t.Last, t.Terms = 0, 0, nil
	}
	return l, t
}

// wrongData reports whether the target applied an entry that the leader never had.
func (w world) wrongData() bool {
	for i := uint64(1); i <= w.applied; i++ {
		if i > uint64(len(w.leaderTerms)) || termIn(w.leaderTerms, i) != termIn(w.targetTerms, i) {
			return true
		}
	}
	return false
}

// outcome is what becomes of a follower to which Raft sends appends until it takes one, or cannot.
type outcome struct {
	caughtUp bool
	sent     []uint64 // the entries that it took and had not
	log      map[uint64]uint64
}

// replicate is hashicorp/raft's replicateTo against its appendEntries: the leader goes back one entry at a time until
// it does not know the term of the one before; the follower takes what follows an entry that it has in that term, and
// drops a tail that conflicts. Its snapshot record, applied, is such an entry.
func (w world) replicate() outcome {
	follower := map[uint64]uint64{w.applied: termIn(w.targetTerms, w.applied)}
	last := w.applied
	if w.start <= w.applied+1 {
		for i := w.applied + 1; i <= uint64(len(w.targetTerms)); i++ {
			follower[i], last = w.targetTerms[i-1], i
		}
	}
	leaderLast := uint64(len(w.leaderTerms))
	for next := leaderLast + 1; ; {
		previous := next - 1
		known := previous >= w.first && previous <= leaderLast || previous == w.record || previous == 0 && w.first == 1
		if !known || previous+1 < w.first {
			return outcome{}
		}
		term, has := follower[previous]
		if !has || term != termIn(w.leaderTerms, previous) {
			if previous == 0 {
				return outcome{} // it would be sent entry 1, which it has applied as something else
			}
			next = max(min(next-1, last+1), 1)
			continue
		}
		var sent []uint64
		for i := next; i <= leaderLast; i++ {
			if held, has := follower[i]; has && held == w.leaderTerms[i-1] {
				continue
			}
			for above := i; above <= last; above++ {
				delete(follower, above)
			}
			follower[i], last = w.leaderTerms[i-1], max(i, w.applied)
			sent = append(sent, i)
		}
		return outcome{caughtUp: true, sent: sent, log: follower}
	}
}

// histories are all sequences of up to n terms that a log can hold: they never fall.
func histories(n int, terms uint64) [][]uint64 {
	all := [][]uint64{nil}
	for from := 0; from < len(all); from++ {
		h := all[from]
		if len(h) == n {
			continue
		}
		for term := max(1, termIn(h, uint64(len(h)))); term <= terms; term++ {
			all = append(all, append(append([]uint64(nil), h...), term))
		}
	}
	return all
}

// canBothBe is what Raft guarantees: logs that hold one entry in the same term are equal up to there.
func canBothBe(a, b []uint64) bool {
	differed := false
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			differed = true
		} else if differed {
			return false
		}
	}
	return true
}

// worlds calls f for every pair of replicas in the box.
func worlds(n int, terms uint64, f func(world)) {
	all := histories(n, terms)
	for _, leader := range all {
		for _, target := range all {
			if !canBothBe(leader, target) {
				continue
			}
			last := uint64(len(leader))
			for first := uint64(1); first <= last+1; first++ {
				for record := first - 1; record <= last; record++ {
					for applied := uint64(0); applied <= uint64(len(target)); applied++ {
						for start := uint64(1); start <= uint64(len(target))+1; start++ {
							f(world{leader, target, first, record, applied, start})
						}
					}
				}
			}
		}
	}
}
