package raftgroup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// Entries that are committed, but wait for the shard when the group is stopped,
// are of unknown outcome: Raft does not answer them. The stop waits for nothing
// because of it, who waits for them is told, and their slots are free.
func TestWhatRaftForgetsEndsWithTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		c := newTestCluster(t, 1, nil)
		c.bear(1, 7)
		g := c.leader(7)
		in, err := g.running()
		if err != nil {
			t.Fatal(err)
		}
		_, configured, err := g.Members()
		if err != nil {
			t.Fatal(err)
		}
		in.fsm.applying.Lock() // the shard hangs
		var proposals []*Proposal
		for range 20 {
			proposals = append(proposals, in.proposer.directAsync(storage.AppendNoop(nil)))
			synctest.Wait() // each in a batch of its own
		}
		write := newProposal(putFrame("a", 1, 1), false)
		if err := in.proposer.enqueue(write); err != nil {
			t.Fatal(err)
		}
		proposals = append(proposals, write)
		synctest.Wait()
		changed := make(chan error, 1)
		go func() { changed <- g.AddNonvoter(ctx, nodeB.Server(0), configured) }()
		synctest.Wait()
		stopped, began := make(chan error, 1), time.Now()
		go func() { stopped <- g.stop(ReplicaSyncing, "the test stops it") }()
		time.Sleep(2 * drainAtClose) // of the bubble: Raft is shut down
		in.fsm.applying.Unlock()
		select {
		case err := <-stopped:
			if took := time.Since(began); err != nil || took > 2*drainAtClose {
				t.Errorf("the stop took %v, and the shard hung for %v: %v", took, 2*drainAtClose, err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the stop waits for Raft's answers")
		}
		if err := <-changed; !errors.Is(err, ErrUnknown) {
			t.Errorf("the change of configuration: %v", err)
		}
		unknown := 0
		for _, p := range proposals {
			if _, err := p.Wait(ctx); errors.Is(err, ErrUnknown) {
				unknown++
			} else if err != nil {
				t.Error(err)
			}
		}
		if unknown == 0 {
			t.Error("Raft has answered all entries: nothing was tested")
		}
		if g.host.Writing() {
			t.Error("a slot for entries is still taken")
		}
	})
}
