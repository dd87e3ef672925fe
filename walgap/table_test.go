package walgap

import (
	"fmt"
	"testing"
)

// The table of conditions once more, written entry by entry and without a thought of speed: the reference of the box,
// in which the reports may also contradict themselves.

// decision is the part of a verdict that the table decides.
type decision struct {
	Decided, Wait, Alarm, FromRecord bool
	Kind                             Kind
	Row                              Row
}

func (v Verdict) decision() decision {
	return decision{v.Decided, v.Wait, v.Alarm, v.FromRecord, v.Kind, v.Row}
}

// termOf reads a list of runs.
func termOf(runs []TermRun, i uint64) (term uint64) {
	for _, r := range runs {
		if r.First <= i {
			term = r.Term
		}
	}
	return term
}

// known maps every place to the term that the leader knows there.
func (l Leader) known() (terms map[uint64]uint64, first, last uint64, ok bool) {
	first, last = l.First, l.Last
	if first == 0 && last == 0 {
		first, last = l.Record.Index+1, l.Record.Index
	}
	if first == 0 || first > last+1 {
		return nil, 0, 0, false
	}
	terms = map[uint64]uint64{}
	if l.Record.Index > 0 {
		terms[l.Record.Index] = l.Record.Term
	}
	if first == 1 {
		terms[0] = 0
	}
	for i := first; i <= last; i++ {
		term := termOf(l.Terms, i)
		if term == 0 || i == l.Record.Index && term != l.Record.Term || i > 1 && term < terms[i-1] {
			return nil, 0, 0, false
		}
		terms[i] = term
	}
	_, has := terms[first-1]
	inside := has || l.Record.Index >= first
	ok = inside && l.Record.Index <= last && l.Record.Index+1 >= first && (l.Record.Index == 0) == (l.Record.Term == 0)
	return terms, first, last, ok
}

// holds maps every place from applied on to the term that the target has there.
func (t Target) holds() (terms map[uint64]uint64, last uint64) {
	a := t.Applied
	terms, last = map[uint64]uint64{a.Index: a.Term}, a.Index
	if t.First == 0 || t.First > a.Index+1 {
		return terms, last
	}
	if t.First <= a.Index && t.Last >= a.Index && a.Index > 0 && termOf(t.Terms, a.Index) != a.Term {
		return terms, last
	}
	above := map[uint64]uint64{a.Index: a.Term}
	for i := t.First + 1; i <= t.Last; i++ {
		if termOf(t.Terms, i) < termOf(t.Terms, i-1) {
			return terms, last // a report that cannot be true
		}
	}
	for i := a.Index + 1; i <= t.Last; i++ {
		term := termOf(t.Terms, i)
		if term == 0 || term < above[i-1] {
			return terms, last
		}
		above[i] = term
	}
	return above, max(last, t.Last)
}

// expected is the table.
func expected(l Leader, t Target, m Mode) decision {
	if !t.Readable || l.Cluster != t.Cluster || l.Group != t.Group {
		return decision{Row: Foreign}
	}
	leader, first, last, ok := l.known()
	if !ok {
		return decision{Row: Contradicts, Wait: true}
	}
	if !l.Committed && l.CanCommit {
		return decision{Row: Uncommitted, Wait: true}
	}
	d := byCondition(l, t, leader, first, last)
	if !l.Committed && (d.Kind == None || d.Kind == Replay) {
		return decision{Row: Uncommitted, Wait: true}
	}
	sound := t.Damage == "" && t.HasData && t.Applied.Index > 0 && t.Applied.Term > 0
	if m == FullSync || m == PartialSync && !sound {
		d.Kind, d.Row = Full, Asked
	} else if m == PartialSync {
		d.Kind, d.Row = Delta, Asked
	}
	if !l.CanCommit && (d.Kind == Delta || d.Kind == Full) {
		if l.Record.Index == 0 || l.Lineage == t.Lineage && t.Applied.Index > l.Record.Index {
			return decision{Row: NoRecord, Wait: true, Alarm: true}
		}
		d.FromRecord = true
	}
	return d
}

func byCondition(l Leader, t Target, leader map[uint64]uint64, first, last uint64) decision {
	target, targetLast := t.holds()
	a := t.Applied
	applied := a.Index > 0 && a.Term > 0
	copied := Delta
	if !t.HasData {
		copied = Full
	}
	switch {
	case t.Damage != "":
		return decision{Decided: true, Kind: Full, Row: Damaged}
	case !t.HasData && a == (Position{}) && targetLast == 0:
		if l.Points == 0 && first == 1 {
			return decision{Decided: true, Kind: Replay, Row: Empty}
		}
		return decision{Decided: true, Kind: Full, Row: Empty}
	case t.HasData && !applied || !t.HasData && a != (Position{}):
		return decision{Decided: true, Kind: Full, Row: Unknown}
	case l.Lineage != t.Lineage:
		return decision{Decided: true, Kind: copied, Row: OtherLineage}
	case a.Index > last:
		return decision{Decided: true, Kind: copied, Row: Diverged}
	}
	if term, known := leader[a.Index]; known && term != a.Term {
		return decision{Decided: true, Kind: copied, Row: Diverged}
	}
	if targetLast == last && target[targetLast] == leader[last] {
		return decision{Decided: true, Kind: None, Row: Level}
	}
	for i := a.Index; i <= targetLast; i++ {
		if term, known := leader[i]; known && term == target[i] {
			return decision{Decided: true, Kind: Replay, Row: Connected}
		}
	}
	if t.HasData {
		return decision{Decided: true, Kind: Delta, Row: Older}
	}
	return decision{Decided: true, Kind: Full, Row: Unknown}
}

// logs are all spans up to n, with all terms that rise, and those that no log can be.
func logs(n, terms uint64) (all []Target) {
	all = []Target{{}, {First: 2, Last: 0}, {First: 1, Last: n, Terms: []TermRun{{First: 2, Term: 1}}}, {First: 1, Last: 1}}
	if n > 1 {
		all = append(all, Target{First: 1, Last: n, Terms: []TermRun{{1, 2}, {2, 1}}})
	}
	for _, h := range histories(int(n), terms) {
		for first := uint64(1); first <= n+1; first++ {
			if last := first + uint64(len(h)) - 1; last <= n {
				shifted := append(make([]uint64, first-1), h...)
				all = append(all, Target{First: first, Last: last, Terms: runsOfTerms(shifted, first)})
			}
		}
	}
	return all
}

func positions(n, terms uint64) (all []Position) {
	for i := range n + 1 {
		for term := range terms + 1 {
			all = append(all, Position{i, term})
		}
	}
	return all
}

// box calls f for all positions of two replicas.
func box(n, terms uint64, f func(Leader, Target)) {
	for _, led := range logs(n, terms) {
		for _, record := range positions(n, terms) {
			l := Leader{Group: 3, Lineage: "a", Committed: true, CanCommit: true, First: led.First, Last: led.Last,
				Terms: led.Terms, Record: record, Points: 1, Bytes: 100, Leaves: 1}
			for _, t := range logs(n, terms) {
				for _, applied := range positions(n, terms) {
					for _, has := range []bool{false, true} {
						t.Group, t.Lineage, t.Readable, t.HasData, t.Applied = 3, "a", true, has, applied
						f(l, t)
					}
				}
			}
		}
	}
}

// check compares one tuple with the table.
func check(t *testing.T, l Leader, target Target, m Mode) Row {
	t.Helper()
	v := Judge(l, target, Rates{}, m)
	if want := expected(l, target, m); v.decision() != want {
		t.Fatalf("leader %+v\ntarget %+v\nmode %s\ngot  %+v\nwant %+v", l, target, m, v, want)
	}
	if v.Reason == "" || v.Decided != (v.BlockedBy == "") || v.Decided && v.Wait || v.Seconds < 0 {
		t.Fatalf("leader %+v\ntarget %+v\nmode %s: %+v", l, target, m, v)
	}
	return v.Row
}

// Every tuple of small positions, with everything else as it should be.
func TestTableHoldsInTheBoxOfPositions(t *testing.T) {
	n := uint64(3)
	if testing.Short() {
		n = 2
	}
	tuples := 0
	box(n, 2, func(l Leader, target Target) {
		tuples++
		check(t, l, target, Auto)
	})
	t.Logf("%d tuples", tuples)
}

// Every tuple of smaller positions with every combination of flags, in every mode.
func TestTableHoldsInTheBoxOfFlags(t *testing.T) {
	for _, m := range []Mode{Auto, FullSync, PartialSync} {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			n := uint64(2)
			if testing.Short() {
				n = 1
			}
			seen := map[Row]int{}
			box(n, 2, func(l Leader, target Target) {
				if _, _, _, ok := l.known(); !ok {
					return // the box of positions has those
				}
				for flags := range 64 {
					seen[check(t, flagged(l, flags), flaggedTarget(target, flags), m)]++
				}
			})
			t.Logf("rows: %v", seen)
		})
	}
}

func flagged(l Leader, flags int) Leader {
	l.Committed, l.CanCommit = flags&1 == 0, flags&2 == 0
	if flags&4 != 0 {
		l.Points = 0
	}
	return l
}

func flaggedTarget(t Target, flags int) Target {
	if flags&8 != 0 {
		t.Lineage = "b"
	}
	if flags&16 != 0 {
		t.Damage = "checksum of leaf 3/4"
	}
	switch {
	case flags&32 != 0 && flags&3 == 0:
		t.Readable = false
	case flags&32 != 0 && flags&3 == 1:
		t.Cluster = "another"
	case flags&32 != 0 && flags&3 == 2:
		t.Group++
	}
	return t
}

// The names of rows are what golden files and metrics rest on.
func TestNamesGoThereAndBack(t *testing.T) {
	for r := range Row(Rows) {
		var back Row
		if err := back.UnmarshalText([]byte(r.String())); err != nil || back != r {
			t.Errorf("row %d: %v, %v", r, back, err)
		}
	}
	for _, k := range []Kind{None, Replay, Delta, Full} {
		var back Kind
		if err := back.UnmarshalText([]byte(k.String())); err != nil || back != k {
			t.Errorf("kind %d: %v, %v", k, back, err)
		}
	}
	for _, m := range []Mode{Auto, FullSync, PartialSync} {
		if back, err := ParseMode(m.String()); err != nil || back != m {
			t.Errorf("mode %d: %v, %v", m, back, err)
		}
	}
	if _, err := ParseMode("fast"); err == nil {
		t.Error("an unknown mode is none")
	}
	if got := fmt.Sprint(Kind(9), Mode(9), Row(99)); got != "kind 9 mode 9 row 99" {
		t.Error(got)
	}
}
