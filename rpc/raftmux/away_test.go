package raftmux

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// An AppendEntries to a node that is gone waits for it and arrives when it is
// back; a heartbeat, and one that is large, fail within the deadline of Raft.
func TestAppendEntriesWaitsForANodeThatIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		net, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close()
		net.cut(nodes[0].id.Name, nodes[1].id.Name)
		wait(t, "the stream is broken", time.Minute, func() bool { return !a.mux.Peer(nodes[1].id).Connected })
		ask := func(r *raft.AppendEntriesRequest) (time.Duration, error) {
			began := time.Now()
			err := a.AppendEntries("", addr, r, &raft.AppendEntriesResponse{})
			return time.Since(began), err
		}
		for name, r := range map[string]*raft.AppendEntriesRequest{"a heartbeat": {Term: 1}, "a large one": entries(5, maxWaitingAppend)} {
			if took, err := ask(r); !errors.Is(err, ErrUnreachable) || took > 2*time.Second {
				t.Errorf("%s fails after %v with %v", name, took, err)
			}
		}
		if took, err := ask(entries(5, 10)); !errors.Is(err, ErrUnreachable) || took < 50*time.Second || took > 2*time.Minute {
			t.Errorf("a node that stays away is given up after %v: %v", took, err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := ask(entries(5, 10))
			done <- err
		}()
		time.Sleep(20 * time.Second)
		net.heal(nodes[0].id.Name, nodes[1].id.Name)
		select {
		case rpc := <-b.Consumer():
			rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
		case <-time.After(5 * time.Second):
			t.Fatal("it did not arrive when the node was back")
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
