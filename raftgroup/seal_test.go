package raftgroup

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

// awaitAnother expects that another one leads soon, with nobody to help out but
// Raft's timers.
func (s *scene) awaitAnother(old *Group, begun time.Time) {
	s.t.Helper()
	await(s.t, "another leader", time.Minute, func() bool {
		for _, n := range s.nodes {
			if g, _ := n.host.Group(7); g != old && g.IsLeader() {
				return true
			}
		}
		return false
	})
	if took := time.Since(begun); took > handOverPause {
		s.t.Errorf("the group had no leader for %v", took)
	}
}

// A check that finds its leader wrong ends its cut while that leader hands over:
// the candidate has not got this entry when it campaigns, and the other voter has.
func TestHandOverIsNotOverrunByTheGroupsOwnCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		old := s.leader
		id, _, err := old.Cut(context.Background(), "check", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan struct{})
		var once sync.Once
		var chosen membership.NodeID
		s.net.setSlow(func(to membership.NodeID, command any) time.Duration {
			switch c := command.(type) {
			case *raft.TimeoutNowRequest:
				once.Do(func() { chosen = to; close(asked) })
				return 10 * time.Millisecond
			case *raft.AppendEntriesRequest:
				select {
				case <-asked:
					if to == chosen && len(c.Entries) > 0 {
						return 100 * time.Millisecond
					}
				default:
				}
			}
			return 0
		})
		ended := make(chan error, 1)
		go func() {
			<-asked
			_, err := old.End(context.Background(), id)
			ended <- err
		}()
		begun := time.Now()
		mustSuspect(t, old, Suspicion{Why: "differs", Leaves: []digest.Leaf{leafA}})
		s.awaitAnother(old, begun)
		s.net.setSlow(nil)
		if err := <-ended; !errors.Is(err, ErrNotApplied) {
			t.Errorf("the end of the cut: %v", err)
		}
		s.leader = s.testCluster.leader(7)
		s.applied(7, s.write(3))
	})
}

// Votes that are slow to come do not make the leader that asked for them go on
// writing: nobody would have a majority then.
func TestHandOverWaitsForSlowVotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		old := s.leader
		s.net.setSlow(func(_ membership.NodeID, command any) time.Duration {
			if _, vote := command.(*raft.RequestVoteRequest); vote {
				return 2 * DefaultMaxPause
			}
			return 0
		})
		acked := make(chan error, 1)
		go func() {
			for i := int64(0); ; i++ {
				if _, err := old.Propose(context.Background(), putFrame("other", i, i)); err != nil {
					acked <- err
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		begun := time.Now()
		mustSuspect(t, old, Suspicion{Why: "differs", Leaves: []digest.Leaf{leafA}})
		s.awaitAnother(old, begun)
		s.net.setSlow(nil)
		if err := <-acked; OutcomeOf(err) != OutcomeNotApplied {
			t.Errorf("a write in the middle of it: %v", err)
		}
		s.leader = s.testCluster.leader(7)
		s.applied(7, s.write(3))
	})
}

// slowLogs is an engine whose appends take a while.
type slowLogs struct {
	raftlog.Engine
	append atomic.Int64 // ns
}

type slowLog struct {
	raftlog.Log
	slow *slowLogs
}

func (e *slowLogs) Open(group uint32) (raftlog.Log, error) {
	l, err := e.Engine.Open(group)
	return slowLog{l, e}, err
}

func (l slowLog) StoreLogs(entries []*raft.Log) error {
	time.Sleep(time.Duration(l.slow.append.Load()))
	return l.Log.StoreLogs(entries)
}

// A leader that has just begun, and hands over, has an entry of its term on the
// way to its disk: it waits until the next one has that too.
func TestNewLeaderHandsOverWithItsFirstEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engines := make(map[membership.NodeID]*slowLogs)
		s := newScene(t, false, func(c *HostConfig) {
			engines[c.Self] = &slowLogs{Engine: c.Engine}
			c.Engine = engines[c.Self]
		})
		s.applied(7, s.write(5))
		first, second := s.leader, s.replica()
		engines[s.target.id].append.Store(int64(30 * time.Millisecond))
		handed := make(chan error, 1)
		go func() { handed <- first.TransferLeadership(context.Background(), second.Self(), time.Second) }()
		await(t, "the second to lead", time.Second, second.IsLeader)
		s.net.setSlow(func(to membership.NodeID, command any) time.Duration {
			if _, vote := command.(*raft.RequestVoteRequest); vote && to != s.target.id {
				return 50 * time.Millisecond
			}
			return 0
		})
		begun := time.Now()
		if err := second.TransferLeadership(context.Background(), membership.ServerID{}, handOverPause); err != nil {
			t.Error(err)
		}
		s.awaitAnother(second, begun)
		if err := <-handed; err != nil {
			t.Error(err)
		}
		s.leader = s.testCluster.leader(7)
		s.applied(7, s.write(3))
	})
}
