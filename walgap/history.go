package walgap

import "slices"

// history is a log together with the one place below it whose term is known: the snapshot record.
type history struct {
	first, last uint64 // of the entries; first = last+1: none
	runs        []run  // ascending, not overlapping; places whose term is known
}

// run is the places first..last, all of one term.
type run struct{ first, last, term uint64 }

// termAt is the term of the entry at i, where it is known.
func (h history) termAt(i uint64) (term uint64, known bool) {
	for _, r := range h.runs {
		if r.first <= i && i <= r.last {
			return r.term, true
		}
	}
	return 0, false
}

// end is the last entry, or what stands for it.
func (h history) end() Position {
	term, _ := h.termAt(h.last)
	return Position{h.last, term}
}

// meeting is the highest place that both know and in the same term. Below it the two are equal.
func meeting(a, b history) (index uint64, ok bool) {
	for i, j := len(a.runs)-1, len(b.runs)-1; i >= 0 && j >= 0; {
		x, y := a.runs[i], b.runs[j]
		if from, to := max(x.first, y.first), min(x.last, y.last); from <= to && x.term == y.term {
			return to, true
		}
		if x.first > y.first { // nothing that is left of b reaches up to it
			i--
		} else {
			j--
		}
	}
	return 0, false
}

// runsOf makes runs of a log's terms, for the entries from..last; ok is false where the terms do not cover them, or
// are no terms that a log can have: they begin at 1 and rise.
func runsOf(terms []TermRun, from, last uint64) (runs []run, ok bool) {
	if from > last {
		return nil, true
	}
	if len(terms) == 0 || terms[0].First > from {
		return nil, false
	}
	for i, t := range terms {
		end := last
		if i+1 < len(terms) {
			if terms[i+1].First <= t.First || terms[i+1].Term <= t.Term {
				return nil, false
			}
			end = min(last, terms[i+1].First-1)
		}
		if t.Term == 0 || t.First > last {
			return nil, false
		}
		if begin := max(from, t.First); begin <= end {
			runs = append(runs, run{begin, end, t.Term})
		}
	}
	return runs, true
}

// history of a leader: its log, its record, and the place 0 where the log begins at 1. why says what contradicts.
func (l *Leader) history() (h history, why string) {
	h = history{first: l.First, last: l.Last}
	if l.First == 0 && l.Last == 0 { // how Raft's log stores say "empty"
		h = history{first: l.Record.Index + 1, last: l.Record.Index}
	}
	runs, ok := runsOf(l.Terms, h.first, h.last)
	switch {
	case h.first == 0 || h.first > h.last+1:
		return h, "its log goes from " + count(h.first) + " to " + count(h.last)
	case !ok:
		return h, "the terms of its log do not fit " + count(h.first) + " to " + count(h.last)
	case l.Record.Index > h.last:
		return h, "its snapshot record " + at(l.Record) + " lies above its log, which ends at " + count(h.last)
	case l.Record.Index+1 < h.first:
		return h, "its log begins at " + count(h.first) + ", behind its snapshot record " + at(l.Record)
	case (l.Record.Index == 0) != (l.Record.Term == 0):
		return h, "its snapshot record is " + at(l.Record)
	}
	h.runs = runs
	switch term, known := h.termAt(l.Record.Index); {
	case known && term != l.Record.Term:
		return h, "its snapshot record is " + at(l.Record) + ", and its log holds term " + count(term) + " there"
	case !known && len(runs) > 0 && runs[0].term < l.Record.Term:
		return h, "its log goes on in term " + count(runs[0].term) + " behind its snapshot record " + at(l.Record)
	case !known:
		h.runs = slices.Insert(h.runs, 0, run{l.Record.Index, l.Record.Index, l.Record.Term})
	}
	if h.first == 1 && l.Record.Index > 0 {
		h.runs = slices.Insert(h.runs, 0, run{0, 0, 0})
	}
	return h, ""
}

// history of a target: applied, and those entries above it that go on from there. Its log below applied says nothing
// more than applied does.
func (t *Target) history() history {
	a := t.Applied
	alone := history{first: a.Index + 1, last: a.Index, runs: []run{{a.Index, a.Index, a.Term}}}
	if t.First == 0 || t.First > a.Index+1 || t.Last <= a.Index {
		return alone
	}
	runs, ok := runsOf(t.Terms, max(t.First, a.Index), t.Last)
	if !ok || runs[0].term < a.Term {
		return alone
	}
	if t.First <= a.Index && a.Index > 0 {
		if runs[0].first != a.Index || runs[0].term != a.Term {
			return alone // the log holds another entry there than the shard: it does not go on from the data
		}
		return history{first: a.Index + 1, last: t.Last, runs: runs}
	}
	return history{first: a.Index + 1, last: t.Last, runs: slices.Insert(runs, 0, run{a.Index, a.Index, a.Term})}
}

// coherent reports whether what a target says of its data can be true.
func (t *Target) coherent() bool {
	return t.HasData == (t.Applied.Index > 0) && (t.Applied.Index > 0) == (t.Applied.Term > 0)
}
