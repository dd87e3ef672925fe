package raftgroup

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// A command that this binary does not know is refused before it can share an
// entry with others.
func TestUnknownCommandDoesNotSpoilThoseThatArriveWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		g := c.leader(7)
		f, err := g.Fence("test", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(5 * time.Second)
		first := g.ProposeAsync(putFrame("dev", 2, 2), end)
		bad := g.ProposeAsync([]byte{2, 99, 0}, end)
		last := g.ProposeAsync(putFrame("dev", 3, 3), end)
		f.Lift()
		for _, p := range []*Proposal{first, bad, last} {
			<-p.Done()
		}
		if first.Err() != nil || last.Err() != nil || OutcomeOf(bad.Err()) != OutcomeInvalid {
			t.Errorf("first %v, bad %v, last %v", first.Err(), bad.Err(), last.Err())
		}
		c.applied(7, last.Index())
	})
}

// Should one get there all the same, with rows that cannot be read: nobody whose
// frames may have been applied is told that they were refused.
func TestI10BadRowsLeaveTheOutcomeOfTheirEntryUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		g := c.leader(7)
		badPut := slices.Clone(putFrame("dev", 4, 4))
		badPut[0]++ // the length of the command
		badPut = append(badPut, 0xff)
		f, err := g.Fence("test", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(5 * time.Second)
		first := g.ProposeAsync(putFrame("dev", 2, 2), end)
		bad := g.ProposeAsync(badPut, end)
		last := g.ProposeAsync(putFrame("dev", 3, 3), end)
		f.Lift()
		for i, p := range []*Proposal{first, bad, last} {
			<-p.Done()
			if o := OutcomeOf(p.Err()); o != OutcomeUnknown {
				t.Errorf("proposal %d: %v is %v", i, p.Err(), o)
			}
		}
		alone := g.ProposeAsync(badPut, time.Now().Add(5*time.Second))
		<-alone.Done()
		if o := OutcomeOf(alone.Err()); o != OutcomeUnknown {
			t.Errorf("alone: %v is %v", alone.Err(), o)
		}
		if got := fmt.Sprint(readAll(t, g, "dev")); got != fmt.Sprint(map[int64]int64{2: 2, 4: 4}) {
			t.Errorf("stored is %v", got)
		}
	})
}

func TestOnlyAnIndivisibleCommandIsKnownToBeInvalidOnceApplied(t *testing.T) {
	del := frame(1, 1)
	for name, tt := range map[string]struct {
		frames [][]byte
		want   Outcome
	}{
		"OneDelete":  {[][]byte{del}, OutcomeInvalid},
		"TwoDeletes": {[][]byte{slices.Concat(del, del)}, OutcomeUnknown},
		"OnePut":     {[][]byte{putFrame("dev", 1, 1)}, OutcomeUnknown},
		"TwoCallers": {[][]byte{del, del}, OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newTestProposer(&fakeRaft{answer: func(e *fakeEntry) { e.response = storage.ErrBadCommand }})
				fence, err := q.raise("test", time.Second)
				if err != nil {
					t.Fatal(err)
				}
				var all []*Proposal
				for _, f := range tt.frames {
					all = append(all, enqueue(t, q, f))
				}
				fence.Lift()
				for _, p := range all {
					if _, err := p.Wait(context.Background()); OutcomeOf(err) != tt.want {
						t.Errorf("%v is %v, want %v", err, OutcomeOf(err), tt.want)
					}
				}
				q.wg.Wait()
			})
		})
	}
}
