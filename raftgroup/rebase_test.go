package raftgroup

import (
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
)

// What a leader sends from below the record of an installed replica is moved up
// to the record; what Raft can judge by itself is not touched.
func TestAppendEntriesAreMovedUpToTheRecordOfAnInstall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		s.net.setMute(s.target.id.Name)
		s.write(20)
		h := s.hold(s.replica())
		c := s.cut()
		if err := s.install(h, c, true); err != nil {
			t.Fatal(err)
		}
		in, err := s.replica().running()
		if err != nil {
			t.Fatal(err)
		}
		cut := c.cut.Position
		entries := func(from, to, term uint64) (list []*raft.Log) {
			for i := from; i <= to; i++ {
				list = append(list, &raft.Log{Index: i, Term: term})
			}
			return list
		}
		for _, tt := range []struct {
			name string
			in   raft.AppendEntriesRequest
			prev uint64 // that Raft sees
			left int    // entries
		}{
			{"Heartbeat", raft.AppendEntriesRequest{}, 0, 0},
			{"FromTheFirst", raft.AppendEntriesRequest{Entries: entries(1, 3, 2)}, cut.Index, 0},
			{"BelowTheRecord", raft.AppendEntriesRequest{PrevLogEntry: 5, PrevLogTerm: 2, Entries: entries(6, 8, 2)}, cut.Index, 0},
			{"BelowTheRecordWithoutEntries", raft.AppendEntriesRequest{PrevLogEntry: 5, PrevLogTerm: 2}, cut.Index, 0},
			{"AcrossTheRecord", raft.AppendEntriesRequest{PrevLogEntry: cut.Index - 2, PrevLogTerm: 2, Entries: entries(cut.Index-1, cut.Index+3, cut.Term)}, cut.Index, 3},
			{"UpToTheRecord", raft.AppendEntriesRequest{PrevLogEntry: cut.Index - 2, PrevLogTerm: 2, Entries: entries(cut.Index-1, cut.Index, cut.Term)}, cut.Index, 0},
			{"AnotherHistory", raft.AppendEntriesRequest{PrevLogEntry: cut.Index - 2, PrevLogTerm: 2, Entries: entries(cut.Index-1, cut.Index+3, cut.Term+1)}, cut.Index - 2, 5},
			{"BehindTheRecord", raft.AppendEntriesRequest{PrevLogEntry: cut.Index, PrevLogTerm: cut.Term, Entries: entries(cut.Index+1, cut.Index+2, cut.Term)}, cut.Index, 2},
			{"FarBehindTheRecord", raft.AppendEntriesRequest{PrevLogEntry: cut.Index + 9, PrevLogTerm: cut.Term}, cut.Index + 9, 0},
		} {
			r := tt.in
			r.LeaderCommitIndex = cut.Index + 100
			got := in.rebase(&r)
			if got.PrevLogEntry != tt.prev || len(got.Entries) != tt.left {
				t.Errorf("%s: behind %d with %d entries", tt.name, got.PrevLogEntry, len(got.Entries))
			}
			if moved := got.PrevLogEntry != tt.in.PrevLogEntry; moved && got.PrevLogTerm != cut.Term {
				t.Errorf("%s: behind term %d", tt.name, got.PrevLogTerm)
			}
			if end := got.PrevLogEntry + uint64(len(got.Entries)); got != &r && got.LeaderCommitIndex > end {
				t.Errorf("%s: commits through %d what Raft sees through %d", tt.name, got.LeaderCommitIndex, end)
			}
			if r.PrevLogEntry != tt.in.PrevLogEntry || len(r.Entries) != len(tt.in.Entries) {
				t.Errorf("%s: the request itself was changed", tt.name)
			}
			if len(got.Entries) > 0 && got.PrevLogEntry == cut.Index && got.Entries[0].Index != cut.Index+1 {
				t.Errorf("%s: goes on at %d", tt.name, got.Entries[0].Index)
			}
		}
		s.net.setMute("")
		s.equal()
	})
}

// An ordinary follower, whose log begins at 1, judges all by itself.
func TestOrdinaryFollowerMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(10))
		s.stop(s.target, true)
		s.start(s.target)
		in, err := s.replica().running()
		if err != nil || in.startedFrom.Index < 5 {
			t.Fatalf("it started from %v: %v", in.startedFrom, err)
		}
		for _, prev := range []uint64{0, 1, 3, 5} {
			r := &raft.AppendEntriesRequest{PrevLogEntry: prev, PrevLogTerm: 9, Entries: []*raft.Log{{Index: prev + 1, Term: 9}}}
			if got := in.rebase(r); got != r {
				t.Errorf("behind %d: moved to %d", prev, got.PrevLogEntry)
			}
		}
	})
}
