package raftmux

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// An AppendEntries to a node that is gone waits for it and arrives when it is
// back; a heartbeat, and one beyond what all may hold, fail within the deadline of Raft.
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
		for name, r := range map[string]*raft.AppendEntriesRequest{"a heartbeat": {Term: 1}, "more than all may hold": entries(5, waitingAppends+1)} {
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

// A node is back before its groups are open: what was refused arrives as soon as
// they are, without a pause of Raft, which would leave the peer alone for seconds.
func TestAppendEntriesWaitsForAGroupThatIsNotOpenYet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		b.Close()
		for _, size := range []int{10, 2 * smallAppend} {
			done := make(chan error, 1)
			go func() { done <- a.AppendEntries("", addr, entries(5, size), &raft.AppendEntriesResponse{}) }()
			time.Sleep(4 * time.Second)
			opened := time.Now()
			b := nodes[1].Transport(7, testLineage, nodes[1].id.Server(0))
			b.SetHeartbeatHandler(func(rpc raft.RPC) { rpc.Respond(&raft.AppendEntriesResponse{Term: 1, Success: true}, nil) })
			arrived := <-b.Consumer()
			arrived.Respond(&raft.AppendEntriesResponse{Term: 1, Success: true}, nil)
			if took := time.Since(opened); took > 400*time.Millisecond {
				t.Errorf("it arrived %v after the group was opened", took)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if _, err := a.AppendEntriesPipeline("", addr); err != raft.ErrPipelineReplicationNotSupported {
				t.Errorf("a peer that may be behind gets a pipeline: %v", err)
			}
			p, err := a.AppendEntriesPipeline("", addr)
			if err != nil {
				t.Fatalf("it is refused more than once: %v", err)
			}
			if _, err := p.AppendEntries(entries(6, make([]int, fullAppend)...), &raft.AppendEntriesResponse{}); err == nil {
				t.Error("a peer that is far behind stays in the pipeline")
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			b.Close()
		}
	})
}

// An answer that does not come in time is asked for again.
func TestAppendEntriesThatIsNotAnsweredIsSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		a, b, addr := pairOf(t, nodes, 7)
		defer a.Close()
		defer b.Close()
		b.SetHeartbeatHandler(func(rpc raft.RPC) { rpc.Respond(&raft.AppendEntriesResponse{Term: 1, Success: true}, nil) })
		done := make(chan error, 1)
		go func() { done <- a.AppendEntries("", addr, entries(5, 10), &raft.AppendEntriesResponse{}) }()
		time.Sleep(5 * time.Second) // of a disk that hangs
		go func() {
			for {
				select {
				case rpc := <-b.Consumer():
					rpc.Respond(&raft.AppendEntriesResponse{Term: 1, Success: true}, nil)
				case <-t.Context().Done():
					return
				}
			}
		}()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
