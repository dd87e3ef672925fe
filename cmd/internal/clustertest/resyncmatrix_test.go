package clustertest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// Each gap, idle and under writes, with each fault: n3 ends equal to the others,
// or says why it does not and keeps what it had, and then comes to it by itself.
// Each fault comes idle or under writes, in turns; `make soak` does both, and under
// the race detector every second one has to do.
func TestResyncMatrix(t *testing.T) {
	for b, busy := range []bool{false, true} {
		for i, f := range syncFaults {
			if times(t) == 1 && (i%2 != b || slower > 1 && i%4 > 1) {
				continue
			}
			name := map[bool]string{false: "Idle", true: "UnderWrites"}[busy] + f.name
			t.Run(name, func(t *testing.T) {
				Run(t, 10*time.Minute, func(t *testing.T) { resyncWithFault(t, f, busy) })
			})
		}
	}
}

func resyncWithFault(t *testing.T, f syncFault, busy bool) {
	s := newGapScene(t, nil)
	s.watch.stopAt(f.stage, f.point, strikeAfter)
	if f.before != nil {
		f.before(s)
	}
	if busy {
		s.writes()
	}
	s.Start(2)
	s.awaitReached()
	f.strike(s)
	s.settle()
	s.checkVerdicts(busy, f)
	s.checkEnd()
	t.Logf("outcomes of stages: %v", s.watch.outcomes())
}

// awaitReached waits until jobs have stopped where the fault is to strike.
func (s *gapScene) awaitReached() {
	s.t.Helper()
	select {
	case <-s.watch.reached:
		synctest.Wait() // those beside it are there, too
	case <-time.After(5 * time.Minute):
		s.t.Fatalf("no job got to where the fault was to strike: %v%s", s.watch.outcomes(), s.uneven())
	}
}

// settle waits until all is well, whatever has failed before, and ends the writes.
func (s *gapScene) settle() {
	s.t.Helper()
	open := func() string {
		time.Sleep(200 * time.Millisecond)
		for _, j := range s.resyncs(2) {
			if !j.Final() {
				return fmt.Sprintf("job of group %d: %s, %s, %s", *j.GroupID, j.Status, text(j.Stage), text(j.BlockedBy))
			}
		}
		return s.filled()
	}
	took := s.Await("n3's jobs have ended", 10*time.Minute, open)
	s.end()
	s.Await("the replicas are equal, and nothing is left to do", 5*time.Minute, func() string {
		if left := open(); left != "" {
			return left
		}
		return s.uneven()
	})
	s.t.Logf("settled after %v", took)
}

// checkVerdicts compares the first verdict on each replica with its gap. A replica
// that lacked nothing when n3 started has no job, and so no lease: a trim may take
// what is written from then on away from it, and from one that is not judged yet.
func (s *gapScene) checkVerdicts(busy bool, f syncFault) {
	s.t.Helper()
	first := make(map[uint32]api.Job)
	for _, j := range s.resyncs(2) {
		if was, ok := first[*j.GroupID]; !ok || j.StartedAt.Before(was.StartedAt.Time) {
			first[*j.GroupID] = j
		}
	}
	seen := make(map[gapClass]map[string]int)
	for group := range s.last {
		k := classOf(group)
		if seen[k] == nil {
			seen[k] = make(map[string]int)
		}
		j, has := first[group]
		verdict := text(j.Verdict)
		seen[k][verdict]++
		right := verdict == "delta"
		switch {
		case k == gapNone && busy:
			right = !has || verdict == "replay" || verdict == "none" || verdict == "delta" && f.name == trims
		case k == gapNone:
			right = !has
		case !k.copies():
			right = verdict == "replay" || f.anew && (!has || verdict == "none") || f.name == trims && verdict == "delta"
		}
		if !right {
			s.t.Errorf("group %d of class %d: the first verdict is %q: %s", group, k, verdict, text(j.Reason))
		}
	}
	s.t.Logf("verdicts by class: %v", seen)
}

// checkEnd expects equal replicas with all that was acked, and nothing left over.
func (s *gapScene) checkEnd() {
	s.t.Helper()
	for _, j := range s.resyncs(2) {
		if j.Status != api.StatusDone && text(j.Error) == "" {
			s.t.Errorf("job of group %d is %s without a reason", *j.GroupID, j.Status)
		}
	}
	s.checkPoints(2)
	if s.ledger != nil {
		s.t.Log(s.CheckLedger(s.ledger, 2))
	}
	if groups, err := s.CompareRoots(); err != nil || groups != len(s.devices) {
		s.t.Errorf("%d groups: %v", groups, err)
	}
	for i := range s.nodes {
		if left := s.staged(i); len(left) > 0 {
			s.t.Errorf("staging is left: %v", left)
		}
	}
}

// valueAt reads a replica's own value of a device at a time, 0 if it has none.
func valueAt(t *testing.T, g *raftgroup.Group, device string, at int64) (value int64) {
	t.Helper()
	shard := g.Shard()
	if shard == nil {
		t.Errorf("group %d has no shard", g.ID())
		return 0
	}
	q := storage.Query{Series: point(device, at, 0).Series, From: at, To: at + 1}
	if err := shard.Scan(t.Context(), q, func(_ storage.Series, c *blocks.Columns) error {
		value = int64(c.Cols[0].Nums[c.Len()-1])
		return nil
	}); err != nil {
		t.Error(err)
	}
	return value
}
