package raftgroup

import (
	"slices"
	"time"
)

const (
	// maxMarks bounds what is remembered of a group's age.
	maxMarks = 32
	// markSteps is in how many steps a log is told apart at least: what is older
	// than a mark can only go as a whole, so a step is what a trim may free more
	// than it has to.
	markSteps = 16
	// assumedAge is how long before its first observation a log is held to have
	// begun. Nothing tells its true age; that it was written evenly, and before
	// all that is observed later, keeps "oldest first" true.
	assumedAge = time.Hour
)

// mark says that a log ended at index at some time.
type mark struct {
	at    time.Time
	index uint64
}

// remember brings what is known of a log's age up to the log's present bounds,
// oldest mark first. Marks lie about evenly over the log, so the end of each is
// at most about a sixteenth of the log behind the end before it. The memory of
// marks is reused.
func remember(marks []mark, now time.Time, first, last uint64) []mark {
	if first == 0 || last < first { // empty: what it was tells how old the next entries are
		return marks
	}
	for len(marks) > 0 && marks[len(marks)-1].index > last { // entries were taken back
		marks = marks[:len(marks)-1]
	}
	from := mark{at: now.Add(-assumedAge), index: first - 1}
	if n := len(marks); n > 0 {
		from = mark{at: marks[n-1].at, index: max(marks[n-1].index, first-1)}
	}
	marks = slices.DeleteFunc(marks, func(m mark) bool { return m.index < first })
	marks = appendMarks(marks, from, mark{at: now, index: last}, last-first+1)
	for len(marks) > maxMarks {
		marks = mergeSmallest(marks, first)
	}
	return marks
}

// appendMarks appends to, and marks in between when the step from `from` is
// larger than a part of the log of so many entries may be.
func appendMarks(marks []mark, from, to mark, entries uint64) []mark {
	grown := to.index - from.index
	if grown == 0 {
		return marks
	}
	step := max(entries/markSteps, 1)
	for n, i := (grown+step-1)/step, uint64(1); i < n; i++ {
		part := float64(i) / float64(n)
		marks = append(marks, mark{
			at:    from.at.Add(time.Duration(part * float64(to.at.Sub(from.at)))),
			index: from.index + uint64(part*float64(grown)),
		})
	}
	return append(marks, to)
}

// mergeSmallest drops the mark between the two smallest neighbouring steps, of
// marks that all lie in the log.
func mergeSmallest(marks []mark, first uint64) []mark {
	drop, smallest, before := 0, uint64(0), first-1
	for i := range len(marks) - 1 { // the last one is where the log was seen to end
		if step := marks[i+1].index - before; i == 0 || step < smallest {
			drop, smallest = i, step
		}
		before = marks[i].index
	}
	return slices.Delete(marks, drop, drop+1)
}
