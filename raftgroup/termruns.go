package raftgroup

import (
	"fmt"
	"slices"
	"sort"

	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

// maxTermRuns bounds the runs of a report. Of a log with more the oldest are
// left out: what is not told is not known, which costs a dearer verdict at worst.
const maxTermRuns = 256

// TermRun says that the entries from First on are of Term, up to the next run's
// First.
type TermRun struct{ First, Term uint64 }

// termRuns tells the terms of first..last, of which each run costs the look at a
// few entries: terms never fall within a log.
func termRuns(entries raftlog.Log, first, last uint64) ([]TermRun, error) {
	var runs []TermRun // the newest first
	for end := last; end >= first && len(runs) < maxTermRuns; {
		term, err := readTerm(entries, end)
		if err != nil {
			return nil, err
		}
		begin := first + uint64(sort.Search(int(end-first), func(i int) bool {
			if err != nil {
				return true
			}
			t := uint64(0)
			t, err = readTerm(entries, first+uint64(i))
			return t >= term
		}))
		if err != nil {
			return nil, err
		}
		runs = append(runs, TermRun{First: begin, Term: term})
		end = begin - 1
	}
	slices.Reverse(runs)
	return runs, nil
}

func readTerm(entries raftlog.Log, index uint64) (uint64, error) {
	var entry raft.Log
	if err := entries.GetLog(index, &entry); err != nil {
		return 0, fmt.Errorf("entry %d: %w", index, err)
	}
	return entry.Term, nil
}
