package raftgroup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// muteAll loses Raft's messages between all nodes: nothing commits, and nobody is
// deposed for as long as the lease lasts.
func (c *testCluster) muteAll(mute bool) {
	for _, n := range c.nodes {
		c.net.isolate(n.id.Name, mute)
	}
}

// The commit of a cut takes long: writes wait behind its fence, in order, and
// succeed after it.
func TestI8WritesHeldByTheFenceOfACutSucceedAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(3))
		s.muteAll(true)
		cut := make(chan CutResult, 1)
		go func() {
			r, err := s.leader.CutWith(context.Background(), CutOptions{ID: "mine", Purpose: "test", TTL: time.Minute, MaxPause: 2 * time.Second})
			if err != nil || r.ID != "mine" {
				t.Errorf("cut %q: %v", r.ID, err)
			}
			cut <- r
		}()
		time.Sleep(100 * time.Millisecond)
		var held []*Proposal
		for i := range 5 {
			held = append(held, s.leader.ProposeAsync(putFrame("held", int64(i), 1), time.Time{}))
		}
		time.Sleep(400 * time.Millisecond)
		for _, p := range held {
			select {
			case <-p.Done():
				t.Fatalf("a write passed the fence: %v", p.Err())
			default:
			}
		}
		s.muteAll(false)
		r := <-cut
		last := r.Position.Index
		for _, p := range held {
			<-p.Done()
			if p.Err() != nil || p.Index() < last || p.Index() == r.Position.Index {
				t.Errorf("at %d behind %d: %v", p.Index(), last, p.Err())
			}
			last = p.Index()
		}
		if st := s.leader.Status().Fences; r.Fenced < 500*time.Millisecond || st.Raised != 1 || st.Expired != 0 || st.Longest != r.Fenced {
			t.Errorf("fenced for %v: %+v", r.Fenced, st)
		}
		if got := readAll(t, s.leader, "held"); len(got) != 5 {
			t.Errorf("%v", got)
		}
	})
}

// A cut that does not commit in time is given up, counted, and may be tried
// again; it stretches nobody's wait.
func TestCutThatTakesTooLongIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(3))
		s.muteAll(true)
		begun := time.Now()
		r, err := s.leader.CutWith(context.Background(), CutOptions{Purpose: "test", TTL: time.Minute, MaxPause: 100 * time.Millisecond})
		if !errors.Is(err, ErrFenceExpired) || r.ID == "" || time.Since(begun) > 150*time.Millisecond {
			t.Errorf("after %v: %q %v", time.Since(begun), r.ID, err)
		}
		if st := s.leader.Status().Fences; st.Expired != 1 {
			t.Errorf("%+v", st)
		}
		s.muteAll(false)
		if _, err := s.leader.End(context.Background(), r.ID); err != nil {
			t.Error(err)
		}
		if _, err := s.leader.CutWith(context.Background(), CutOptions{Purpose: "test", TTL: time.Minute, MaxPause: 100 * time.Millisecond}); err != nil {
			t.Errorf("the next one: %v", err)
		}
		s.equal()
	})
}

// I8: the leader dies inside a fence. The others elect, and writes go on; the
// fence is gone with its leader.
func TestI8LeaderDiesInsideTheFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(3))
		if _, err := s.leader.Fence("dead", MaxFence); err != nil {
			t.Fatal(err)
		}
		held := s.leader.ProposeAsync(putFrame("held", 1, 1), time.Time{})
		died := time.Now()
		s.crash(s.nodeOf(s.leader))
		<-held.Done()
		if held.Err() == nil {
			t.Error("it was acked")
		}
		s.leader = s.testCluster.leader(7)
		s.write(3)
		// Failover is not here: Raft's timers are, up to twice each.
		if took, limit := time.Since(died), 2*DefaultTimers().Heartbeat+2*DefaultTimers().Election+MaxFence; took > limit {
			t.Errorf("writes go on after %v", took)
		}
	})
}

// A cut of a group that was hardly written to costs one flush, not two: with 256
// groups, syncs are most of what copies of little data cost.
func TestCutOfLittleIsOneFlush(t *testing.T) {
	for _, big := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, false, nil)
			s.applied(7, s.write(5))
			shard := s.leader.Shard()
			want := uint64(1)
			if big { // as much as would hold the view up
				want = 2
				for at := int64(0); shard.Unflushed() <= littleHead; at += 1000 {
					var points []storage.Point
					for i := range int64(1000) {
						points = append(points, storage.Point{Series: storage.Series{Database: "db", Collection: "c", Device: "big"}, Time: 1e12 + at + i,
							Fields: []storage.Field{{Name: "v", Value: blocks.Int(i)}}})
					}
					if _, err := s.leader.Propose(context.Background(), storage.AppendPut(nil, points)); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := shard.Stats().Flushes
			s.cutOnly()
			if n := shard.Stats().Flushes - before; n != want {
				t.Errorf("%d flushes, want %d", n, want)
			}
			if left := shard.Unflushed(); left > littleHead/16 {
				t.Errorf("%d bytes are not flushed", left)
			}
			s.applied(7, s.write(1)) // behind the cut's no-op, which must not be on its way when Raft ends
		})
	}
}
