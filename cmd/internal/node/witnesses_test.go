package node

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
)

// However many copies are proven at once, the witnesses of each group are asked: at the newest cut, where none was yet.
func TestWitnessesOfEachGroupAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups = 4 * maxErrands
		var mu sync.Mutex
		asked := map[string]int{}
		n := &Node{errands: newErrands()}
		n.witnesses = newWitnesses(func(_ context.Context, group uint32, cut, except string) {
			mu.Lock()
			defer mu.Unlock()
			asked[fmt.Sprint(group, " ", cut, " ", except)]++
		})
		for n.errands.send(func(context.Context) {}) { // nobody does them
		}
		for group := range uint32(groups) {
			proofs{n}.Witness(group, "an older cut", "n2")
			proofs{n}.Witness(group, "the cut", "n3")
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { defer close(over); n.witnesses.run(ctx) }()
		synctest.Wait()
		proofs{n}.Witness(1, "a later cut", "n3")
		synctest.Wait()
		cancel()
		<-over
		for group := range groups {
			if asked[fmt.Sprint(group, " the cut n3")] != 1 {
				t.Errorf("the witnesses of group %d were not asked", group)
			}
		}
		if len(asked) != groups+1 {
			t.Errorf("%d cuts were asked about, of %d groups and one later", len(asked), groups)
		}
	})
}
