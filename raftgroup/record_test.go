package raftgroup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

// listed is the record that Raft is shown.
func listed(t *testing.T, g *Group) uint64 {
	t.Helper()
	in, err := g.running()
	if err != nil {
		t.Fatal(err)
	}
	list, err := in.snapshots.List()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		return 0
	}
	return list[0].Index
}

func TestHeldRecordIsListedUntilItsEndOrThatOfTheLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		c := s.cut()
		s.write(10)
		s.trim(s.leader)
		if got := listed(t, s.leader); got != c.cut.Index {
			t.Fatalf("listed is %d, held %d", got, c.cut.Index)
		}
		later := c.cut
		later.Index = s.leader.Shard().Applied().Index
		if _, err := s.leader.HoldRecord("other", later); !errors.Is(err, ErrHeld) {
			t.Errorf("two owners: %v", err)
		}
		wrong := c.cut
		wrong.Term++
		if _, err := s.leader.HoldRecord("job", wrong); err == nil {
			t.Error("a record of another term is held")
		}
		if _, err := s.replica().HoldRecord("job", c.cut); OutcomeOf(err) != OutcomeNotApplied {
			t.Errorf("a follower holds a record: %v", err)
		}
		release, err := s.leader.HoldRecord("job", later) // the owner's own, anew
		if err != nil || listed(t, s.leader) != later.Index {
			t.Fatalf("listed is %d: %v", listed(t, s.leader), err)
		}
		release()
		release()
		if got := listed(t, s.leader); got <= c.cut.Index {
			t.Errorf("listed is %d after the release", got)
		}
		if _, err := s.leader.HoldRecord("job", c.cut); err != nil {
			t.Fatal(err)
		}
		old := s.leader
		if err := old.StepDown(context.Background()); err != nil {
			t.Fatal(err)
		}
		await(t, "the end of the record", time.Minute, func() bool { return listed(t, old) > c.cut.Index })
	})
}

func TestPinnedRecordEndsByItsTimeAndHoldsTheLogUntilThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		pinned, err := s.leader.PinRecord(context.Background(), "job", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		at := pinned.Durable.Index
		if view, err := s.leader.RecordView(pinned.ID); err != nil || view.Index() != pinned.Durable.Position {
			t.Fatalf("no view: %v", err)
		}
		s.applied(7, s.write(10))
		s.trim(s.leader)
		if st := s.leader.Status(); st.LogFirst > at || listed(t, s.leader) != at {
			t.Errorf("log from %d, listed %d, pinned %d", st.LogFirst, listed(t, s.leader), at)
		}
		if p, err := s.leader.TrimPlan(); err != nil || p.Through >= at || p.Why == "" {
			t.Errorf("%+v %v", p, err)
		}
		time.Sleep(50 * time.Second)
		if err := s.leader.RenewRecord(pinned.ID, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Second)
		if _, err := s.leader.RecordView(pinned.ID); err != nil {
			t.Errorf("it was renewed: %v", err)
		}
		time.Sleep(20 * time.Second)
		if _, err := s.leader.RecordView(pinned.ID); !errors.Is(err, ErrNoRecord) {
			t.Errorf("its time is over: %v", err)
		}
		if err := s.leader.RenewRecord(pinned.ID, time.Minute); !errors.Is(err, ErrNoRecord) {
			t.Errorf("renewed after its end: %v", err)
		}
		s.trim(s.leader)
		if st := s.leader.Status(); st.LogFirst <= at {
			t.Errorf("the log is held from %d on", st.LogFirst)
		}
	})
}

// The stand-in for an entry of which only the term is known is never sent: the
// peer would keep it in place of the one with data.
func TestEntryWithoutItsDataIsNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		s.trim(s.leader)
		in, err := s.leader.running()
		if err != nil {
			t.Fatal(err)
		}
		var standIn raft.Log
		record := in.shard.Durable()
		if err := in.logs.GetLog(record.Index, &standIn); err != nil || standIn.Term != record.Term || len(standIn.Data) > 0 {
			t.Fatalf("%+v %v", standIn, err)
		}
		trans := guardedTransport{in.transport, nil}
		to := s.target.id.Server(0).String()
		r := &raft.AppendEntriesRequest{RPCHeader: in.header(), Term: in.raft.CurrentTerm(), Entries: []*raft.Log{&standIn}}
		if err := trans.AppendEntries(raft.ServerID(to), raft.ServerAddress(to), r, &raft.AppendEntriesResponse{}); !errors.Is(err, errRecorded) {
			t.Errorf("sent: %v", err)
		}
		if _, err := (guardedPipeline{}).AppendEntries(r, nil); !errors.Is(err, errRecorded) {
			t.Errorf("sent: %v", err)
		}
	})
}

// A held record lends its term only while the log goes on behind it: Raft would
// send the shard's own record in the place of an entry otherwise.
func TestHeldRecordHasATermOnlyWhereTheLogGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		c := s.cut()
		for _, id := range s.leases() {
			if _, err := s.leader.End(context.Background(), id); err != nil {
				t.Fatal(err)
			}
		}
		in, err := s.leader.running()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if term, ok := in.termOf(c.cut.Index); !ok || term != c.cut.Term || !in.goesOn(c.cut.Index) {
			t.Errorf("term %d %v", term, ok)
		}
		s.applied(7, s.write(5))
		s.trim(s.leader) // beyond the held record: no lease holds it
		if _, ok := in.termOf(c.cut.Index); ok || in.goesOn(c.cut.Index) {
			t.Error("the record has a term, and the log begins far behind it")
		}
	})
}

func (s *scene) leases() (ids []string) {
	for _, r := range s.leader.Shard().Leases() {
		ids = append(ids, r.ID)
	}
	return ids
}

// Success is answered for what the peer contains, for nothing else, and not in a
// hot loop.
func TestHandShakeAsksThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		time.Sleep(2 * DefaultTimers().Commit)
		in, err := s.leader.running()
		if err != nil {
			t.Fatal(err)
		}
		peer, at := s.target.id.Server(0), s.leader.Shard().Applied()
		ask := func(index, term, now uint64) (raft.InstallSnapshotResponse, error) {
			time.Sleep(gapProbe)
			var resp raft.InstallSnapshotResponse
			err := in.gap(peer, &raft.InstallSnapshotRequest{Term: now, LastLogIndex: index, LastLogTerm: term}, &resp)
			return resp, err
		}
		term := in.raft.CurrentTerm()
		if r, err := ask(at.Index, at.Term, term); err != nil || !r.Success || r.Term != term {
			t.Errorf("%+v %v", r, err)
		}
		began := time.Now()
		if r, err := ask(at.Index, at.Term, term); err != nil || !r.Success || time.Since(began) < gapProbe {
			t.Errorf("twice at one moment: %+v %v after %v", r, err, time.Since(began))
		}
		if gaps := s.leader.Status().Gaps; len(gaps) > 0 {
			t.Errorf("gaps %+v", gaps)
		}
		if r, err := ask(at.Index, at.Term-1, term); !errors.Is(err, errGap) || r.Success {
			t.Errorf("another term: %+v %v", r, err)
		}
		if r, err := ask(at.Index+100, at.Term, term); !errors.Is(err, errGap) || r.Success {
			t.Errorf("what nobody has: %+v %v", r, err)
		}
		if r, err := ask(at.Index, at.Term, term-1); err != nil || r.Success || r.Term != term {
			t.Errorf("the peer knows a later term: %+v %v", r, err)
		}
		if gaps := s.leader.Status().Gaps; len(gaps) != 1 || gaps[0].Peer != peer {
			t.Errorf("gaps %+v", gaps)
		}
		// The peer has it, and this log could send nothing behind it.
		s.trim(s.leader)
		if r, err := ask(3, at.Term, term); !errors.Is(err, errGap) || r.Success {
			t.Errorf("below the log: %+v %v", r, err)
		}
		s.stop(s.target, true)
		if r, err := ask(at.Index, at.Term, term); !errors.Is(err, errGap) {
			t.Errorf("a dead peer: %+v %v", r, err)
		}
	})
}

// The alarm waits for the install, whether a job has come so far or not, and
// ends with it, with the leadership, the group, or its time.
func TestGapAlarmWaitsForTheInstall(t *testing.T) {
	for _, how := range []string{"contained", "step down", "close", "time"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, false, nil)
				s.applied(7, s.write(5))
				in, err := s.leader.running()
				if err != nil {
					t.Fatal(err)
				}
				s.stop(s.target, true)
				at := s.leader.Shard().Applied()
				done := make(chan error, 1)
				go func() {
					r := &raft.InstallSnapshotRequest{Term: in.raft.CurrentTerm(), LastLogIndex: at.Index, LastLogTerm: at.Term}
					done <- in.gap(s.target.id.Server(0), r, &raft.InstallSnapshotResponse{})
				}()
				time.Sleep(time.Minute)
				select {
				case err := <-done:
					t.Fatalf("it did not wait: %v", err)
				default:
				}
				limit := 10 * time.Second
				switch how {
				case "contained":
					s.start(s.target)
				case "step down":
					if err := s.leader.StepDown(context.Background()); err != nil {
						t.Fatal(err)
					}
				case "close":
					s.stop(s.nodeOf(s.leader), false)
				case "time":
					limit = gapWait
				}
				select {
				case err := <-done:
					if (err == nil) != (how == "contained") {
						t.Errorf("it ends with %v", err)
					}
				case <-time.After(limit):
					t.Fatal("it waits for ever")
				}
			})
		})
	}
}

func TestContainsFramesRoundTrip(t *testing.T) {
	q := termQuestion{group: 255, generation: 3, lineage: lineageOne}
	at := storage.Position{Index: 1 << 40, Term: 9}
	b := appendContainsQuestion(nil, q, at)
	if got, entry, err := decodeContainsQuestion(b); got != q || entry != at || err != nil {
		t.Errorf("%+v %v %v", got, entry, err)
	}
	for i := range b {
		if _, _, err := decodeContainsQuestion(b[:i]); err == nil {
			t.Errorf("%d of %d bytes are enough", i, len(b))
		}
	}
	for _, c := range []containment{{}, {here: true, currentTerm: 7}, {here: true, contains: true, currentTerm: 1 << 60}} {
		b := c.append(nil)
		if got, err := decodeContainment(b); got != c || err != nil {
			t.Errorf("%+v: %+v %v", c, got, err)
		}
		for i := range b {
			if _, err := decodeContainment(b[:i]); err == nil {
				t.Errorf("%d of %d bytes are enough", i, len(b))
			}
		}
	}
}
