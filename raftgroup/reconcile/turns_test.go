package reconcile

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage/digest"
)

func TestGroupWhoseServerHangsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "n1")
		const other = testGroup + 1
		birth := &membership.Birth{Group: other, Lineage: "6f1c8a3e-0000-4000-8000-000000000008", Epoch: 1,
			Voters: []membership.ServerID{id("n1")}}
		if _, err := s.hosts["n1"].Ensure(t.Context(), raftgroup.Want{Group: other, Birth: birth, Assigned: true}); err != nil {
			t.Fatal(err)
		}
		g, _ := s.hosts["n1"].Group(other)
		s.await(t, "the other group is led", time.Minute, g.IsLeader)
		var added atomic.Bool
		s.change(func() {
			s.runs["n2"] = id("n2")
			s.root = func() (digest.ID, error) { return digest.ID{}, errNobody }
			s.asked = func(_ membership.NodeID, group uint32) error {
				if group == testGroup && added.Swap(true) { // it was added, and is heard of no more
					return errNobody
				}
				if group == other && !added.Load() {
					return errNobody
				}
				return nil
			}
		})
		s.await(t, "n2 catches up", time.Minute, added.Load)
		begun := time.Now()
		s.await(t, "the other group gets its server", time.Minute, func() bool {
			members, _, err := g.Members()
			return err == nil && len(members) == 2
		})
		// Its own failed looks have made it wait a few seconds; the step of the group that hangs takes stepLimit.
		if took := time.Since(begun); took > stepLimit/2 {
			t.Errorf("it waited for %v", took)
		}
	})
}

func TestLookThatIsAskedForDuringALookIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "n1", "n2")
		time.Sleep(time.Minute)
		inside, answer := make(chan struct{}, 8), make(chan struct{})
		s.change(func() {
			s.asked = func(membership.NodeID, uint32) error {
				inside <- struct{}{}
				<-answer
				return nil
			}
		})
		s.loop.Look(testGroup)
		<-inside
		s.loop.Look(testGroup) // what it asks for may have come after the answer
		close(answer)
		begun := time.Now()
		<-inside
		if took := time.Since(begun); took > 2*gather {
			t.Errorf("the second look came after %v", took)
		}
	})
}
