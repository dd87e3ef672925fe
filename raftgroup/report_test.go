package raftgroup

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

func logOf(t *testing.T, runs ...TermRun) (raftlog.Log, uint64) {
	t.Helper()
	engine, err := raftlog.OpenShared(filepath.Join(t.TempDir(), "log"), raftlog.SharedOptions{SegmentBytes: 1 << 20, GatherWindow: -1})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := engine.Open(7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(entries.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	last := uint64(0)
	for i, r := range runs {
		end := r.First + 2
		if i+1 < len(runs) {
			end = runs[i+1].First - 1
		}
		var list []*raft.Log
		for at := r.First; at <= end; at++ {
			list = append(list, &raft.Log{Index: at, Term: r.Term, Data: []byte("x")})
		}
		if err := entries.StoreLogs(list); err != nil {
			t.Fatal(err)
		}
		last = end
	}
	return entries, last
}

func TestTermRunsTellEveryChangeOfTerm(t *testing.T) {
	for _, runs := range [][]TermRun{
		{{1, 1}},
		{{5, 3}},
		{{1, 1}, {2, 2}, {3, 5}},
		{{10, 1}, {20, 2}, {21, 4}, {400, 9}},
	} {
		entries, last := logOf(t, runs...)
		got, err := termRuns(entries, runs[0].First, last)
		if err != nil || !reflect.DeepEqual(got, runs) {
			t.Errorf("%v, want %v: %v", got, runs, err)
		}
	}
}

func TestTermRunsAreBoundedAndKeepTheNewest(t *testing.T) {
	var runs []TermRun
	for i := range uint64(maxTermRuns + 50) {
		runs = append(runs, TermRun{First: 1 + 2*i, Term: i + 1})
	}
	entries, last := logOf(t, runs...)
	got, err := termRuns(entries, 1, last)
	if err != nil || !reflect.DeepEqual(got, runs[50:]) {
		t.Errorf("%d runs from %v on: %v", len(got), got[0], err)
	}
}

func TestSpanEndsAtAHole(t *testing.T) {
	entries, last := logOf(t, TermRun{10, 2}, TermRun{20, 3})
	for _, tt := range []struct{ applied, first, last uint64 }{
		{5, 6, 5}, // entries 6..9 are missing
		{9, 10, last},
		{15, 10, last},
		{last, 10, last},
	} {
		if first, last, runs, err := spanOf(entries, tt.applied); first != tt.first || last != tt.last || err != nil || (len(runs) > 0) != (last >= first) {
			t.Errorf("applied %d: %d..%d %v %v", tt.applied, first, last, runs, err)
		}
	}
	if err := entries.Reset(31, 0); err != nil {
		t.Fatal(err)
	}
	if first, last, _, err := spanOf(entries, 30); first != 31 || last != 30 || err != nil {
		t.Errorf("empty: %d..%d %v", first, last, err)
	}
}

func TestLeaderTellsWhetherItCanCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		last := s.write(10)
		s.applied(7, last)
		time.Sleep(2 * DefaultTimers().Commit)
		ask := func(asker membership.ServerID, want bool) LeaderReport {
			t.Helper()
			r, err := s.leader.LeaderReport(context.Background(), asker)
			if err != nil || r.CanCommit != want || !r.Committed {
				t.Errorf("can commit %v, committed %v, want %v: %v", r.CanCommit, r.Committed, want, err)
			}
			return r
		}
		target := s.target.id.Server(0)
		r := ask(target, true)
		if r.First != 1 || r.Last < last || r.Terms[len(r.Terms)-1].Term != r.Term || r.Applied.Index < last || len(r.Voters) != 3 || r.Configuration == 0 || r.Points == 0 {
			t.Errorf("%+v", r)
		}
		if _, err := s.replica().LeaderReport(context.Background(), target); OutcomeOf(err) != OutcomeNotApplied {
			t.Errorf("a follower reports as a leader: %v", err)
		}
		s.stop(s.third, true)
		ask(membership.ServerID{}, true) // with the target
		ask(target, false)
		s.start(s.third)
		s.applied2(s.third, last)
		ask(target, true)
	})
}

// The report at open is of the moment before Raft ran, whatever came after.
func TestReportAtOpenShowsTheGapOfANodeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		last := s.write(5)
		s.applied(7, last)
		s.stop(s.target, true)
		s.write(20)
		s.start(s.target)
		s.equal()
		r, ok := s.replica().ReportAtOpen()
		if !ok || r.Applied.Index < last || r.Last > last+5 || r.First != 1 || !r.HasData || r.Lineage != s.leader.Lineage() || r.CurrentTerm == 0 || len(r.Terms) == 0 {
			t.Errorf("%+v", r)
		}
		now, err := s.replica().Report()
		if err != nil || now.Last <= r.Last || !now.Running || !now.Voter || now.Why != "" {
			t.Errorf("now %+v: %v", now, err)
		}
	})
}

// What was written minutes ago lies in no file yet: it is flushed before a
// verdict, which would take the replica for an empty one and have it copied whole.
func TestAReportForAVerdictCountsWhatNoFlushHasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		last := s.write(5)
		s.applied(7, last)
		if r, err := s.replica().Report(); err != nil || r.HasData {
			t.Fatalf("it was flushed already: %+v, %v", r, err)
		}
		r, err := s.replica().ReportFlushed(t.Context())
		if err != nil || !r.HasData || r.Applied.Index < last {
			t.Errorf("applied %d of %d, %v", r.Applied.Index, last, err)
		}
	})
}
