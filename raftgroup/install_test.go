package raftgroup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A stale voter is held, installed and catches up, whatever became of the logs
// meanwhile, in place and as a whole.
func TestStaleVoterIsInstalledAndCatchesUp(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trimmed bool // the leader's log begins behind what the target has
		tail    int  // the target was the leader, and has so many entries that nobody acked
		whole   bool // a whole copy, not the leaves that differ
		bolt    bool
	}{
		{name: "LogWholeFromOne"},
		{name: "LogWholeFromOneFullBolt", whole: true, bolt: true},
		{name: "LogTrimmed", trimmed: true},
		{name: "LogTrimmedFull", trimmed: true, whole: true},
		{name: "LogTrimmedBolt", trimmed: true, bolt: true},
		{name: "DivergedTail", tail: 3},
		{name: "DivergedTailBeyondTheCut", tail: 60},
		{name: "DivergedTailLogTrimmed", tail: 3, trimmed: true, whole: true},
		{name: "DivergedTailBeyondTheCutLogTrimmedBolt", tail: 60, trimmed: true, bolt: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, tt.bolt, nil)
				s.applied(7, s.write(5))
				replica := s.replica()
				// Raft's messages are lost, the calls of a job are not: the leader's
				// next index for the target stays below the cut.
				if tt.tail > 0 {
					s.deposeTarget(tt.tail)
				} else {
					s.net.setMute(s.target.id.Name)
				}
				s.write(20)
				if tt.trimmed {
					s.trim(s.leader)
				}
				s.write(5)
				h := s.hold(replica)
				c := s.cut()
				s.write(5) // goes on during the copy
				if err := s.install(h, c, !tt.whole); err != nil {
					t.Fatal(err)
				}
				if in, err := replica.running(); err != nil || in.shard.Durable().Position != c.cut.Position || in.startedFrom != c.cut.Position {
					t.Fatalf("not at the cut: %v", err)
				}
				s.net.setMute("")
				s.equal()
				s.serves(s.target.id.Server(0).String())
				await(t, "the alarm to end", time.Minute, func() bool { return len(s.leader.Status().Gaps) == 0 })
			})
		})
	}
}

// deposeTarget makes the target lead first, append what nobody else has, and
// lose the leadership to the other two, with whom Raft cannot speak.
func (s *scene) deposeTarget(tail int) {
	s.t.Helper()
	s.applied(7, s.write(3))
	time.Sleep(2 * DefaultTimers().Commit)
	if err := s.leader.TransferLeadership(context.Background(), s.target.id.Server(0), time.Second); err != nil {
		s.t.Fatal(err)
	}
	s.leader = s.testCluster.leader(7)
	s.applied(7, s.write(1))
	s.net.setMute(s.target.id.Name)
	in, err := s.leader.running()
	if err != nil {
		s.t.Fatal(err)
	}
	before := in.raft.LastIndex()
	for i := range tail {
		in.raft.Apply(putFrame("ghost", int64(i), 1), 0)
	}
	await(s.t, "a tail", time.Second, func() bool { return in.raft.LastIndex() == before+uint64(tail) })
	await(s.t, "another leader", time.Minute, func() bool {
		for _, n := range s.nodes {
			if g, _ := n.host.Group(7); n != s.target && g.IsLeader() {
				s.leader = g
				return g.ReadBarrier(context.Background()) == nil
			}
		}
		return false
	})
	for _, n := range s.nodes {
		if n != s.target && n != s.nodeOf(s.leader) {
			s.third = n
		}
	}
}

// The alarm stands long before the job comes, and waits for a record that the
// leader has left behind by then. The installed replica does not wait for it.
func TestAlarmOfAnOlderRecordDoesNotHoldTheInstalledUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		s.stop(s.target, true)
		s.write(20)
		s.trim(s.leader)
		s.write(5)
		s.start(s.target)
		await(t, "the alarm", 30*time.Second, func() bool { return len(s.leader.Status().Gaps) == 1 })
		time.Sleep(time.Minute)
		h := s.hold(s.replica())
		c := s.cut()
		s.write(5)
		if err := s.install(h, c, true); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		s.equal()
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("it goes on after %v", took)
		}
		await(t, "the alarm to end", time.Second, func() bool { return len(s.leader.Status().Gaps) == 0 })
	})
}

// The alarm comes while the copy is on its way, and waits for a record above the
// cut: the leader has flushed since. The installed replica does not wait for it.
func TestAlarmOfALaterRecordDoesNotHoldTheInstalledUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		s.stop(s.target, true)
		s.write(20)
		c := s.cutOnly()
		s.write(20)
		s.trim(s.leader)
		s.write(5)
		s.start(s.target)
		await(t, "the alarm", 30*time.Second, func() bool {
			gaps := s.leader.Status().Gaps
			return len(gaps) == 1 && gaps[0].SnapshotIndex > c.cut.Index
		})
		time.Sleep(time.Minute)
		h := s.hold(s.replica())
		if _, err := s.leader.HoldRecord("job", c.cut); err != nil {
			t.Fatal(err)
		}
		if err := s.install(h, c, true); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		s.equal()
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("it goes on after %v", took)
		}
		await(t, "the alarm to end", time.Second, func() bool { return len(s.leader.Status().Gaps) == 0 })
	})
}

// The third voter is dead the whole time and the target is behind the log: the
// group has no quorum until the target is installed from the leader's record.
func TestGroupWithoutQuorumComesBackByTheInstall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		s.stop(s.target, true)
		s.write(20)
		s.trim(s.leader)
		s.write(5)
		s.crash(s.third)
		s.crash(s.nodeOf(s.leader))
		leaderNode := s.nodeOf2(s.leader)
		s.start(leaderNode)
		s.start(s.target)
		g, _ := leaderNode.host.Group(7)
		await(t, "an election", 2*time.Minute, g.IsLeader)
		s.leader = g
		replica := s.replica()
		report, err := s.leader.LeaderReport(context.Background(), replica.Self())
		if err != nil || report.Committed || report.CanCommit {
			t.Fatalf("it can commit: %+v %v", report, err)
		}
		h := s.hold(replica)
		pinned, err := s.leader.PinRecord(context.Background(), "job", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		view, err := s.leader.RecordView(pinned.ID)
		if err != nil {
			t.Fatal(err)
		}
		c := s.look(view)
		if err := s.install(h, c, true); err != nil {
			t.Fatal(err)
		}
		// nothing else: with the two of them it commits
		await(t, "the group to commit", 2*time.Minute, func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return s.leader.ReadBarrier(ctx) == nil
		})
		s.equal()
		s.leader.UnpinRecord(pinned.ID)
		s.start(s.third)
		s.equal()
	})
}

// What the target acked above the cut while it was held is in its log alone but
// for the leader, which dies: dropping it at the install would lose acked writes.
func TestEntriesThatWereAckedAboveTheCutSurviveTheInstall(t *testing.T) {
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, false, nil)
			s.applied(7, s.write(5))
			replica := s.replica()
			h := s.hold(replica)
			c := s.cut()
			s.crash(s.third)
			s.write(10) // with the held replica's vote
			if got := replica.Status(); got.AppliedIndex >= c.cut.Index {
				t.Fatalf("the held replica applied %d", got.AppliedIndex)
			}
			if err := s.install(h, c, !whole); err != nil {
				t.Fatal(err)
			}
			s.crash(s.nodeOf(s.leader))
			s.start(s.third)
			s.equal()
			if s.leader != replica {
				t.Errorf("%s leads", s.leader.Self())
			}
		})
	}
}

// The target's log begins above the cut and ends beyond it: it may have acked
// what the cut does not hold. The old instance runs again.
func TestTargetThatKnowsMoreThanTheCutRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		c := s.cut()
		s.applied(7, s.write(20))
		time.Sleep(2 * DefaultTimers().Commit)
		replica := s.replica()
		if _, err := s.leader.End(context.Background(), "job"); err != nil {
			t.Fatal(err)
		}
		for _, r := range s.leader.Shard().Leases() {
			if _, err := s.leader.End(context.Background(), r.ID); err != nil {
				t.Fatal(err)
			}
		}
		s.applied(7, s.write(1))
		before, err := replica.Report()
		if err != nil {
			t.Fatal(err)
		}
		s.trim(replica)
		c = copied{state: c.state, cut: c.cut, manifest: nil, lineage: c.lineage}
		h := s.hold(replica)
		err = s.install(h, c, true)
		if !errors.Is(err, ErrKnowsMore) {
			t.Fatalf("installed: %v", err)
		}
		s.write(3)
		s.equal()
		s.serves(before.Server.String())
		if err := h.Release(context.Background()); err != nil {
			t.Error(err)
		}
		if err := h.Install(context.Background(), Installation{}); err == nil {
			t.Error("an ended hold installs")
		}
	})
}

// An installation that contradicts itself changes nothing, and leaves no stage open
// behind it: the next one would wait for its lock.
func TestInstallationThatContradictsItselfIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		h, c := s.hold(s.replica()), s.cut()
		right := c.cut
		c.cut.Index++
		if err := s.install(h, c, false); err == nil {
			t.Error("it was installed")
		}
		c.cut = right
		if err := s.install(h, c, false); err != nil {
			t.Fatal(err)
		}
		s.equal()
	})
}
