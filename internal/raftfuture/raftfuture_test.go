package raftfuture

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// blockedFSM applies nothing before the test lets it go.
type blockedFSM struct{ free chan struct{} }

func (f blockedFSM) Apply(*raft.Log) any               { <-f.free; return "applied" }
func (blockedFSM) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (blockedFSM) Restore(io.ReadCloser) error         { return nil }

// lonely starts a raft of one server, which leads.
func lonely(t *testing.T, fsm raft.FSM) *raft.Raft {
	t.Helper()
	addr, transport := raft.NewInmemTransport("n1")
	c := raft.DefaultConfig()
	c.LocalID, c.Logger = raft.ServerID(addr), hclog.NewNullLogger()
	store := raft.NewInmemStore()
	r, err := raft.NewRaft(c, fsm, store, store, raft.NewInmemSnapshotStore(), transport)
	if err != nil {
		t.Fatal(err)
	}
	servers := raft.Configuration{Servers: []raft.Server{{ID: c.LocalID, Address: addr}}}
	if err := r.BootstrapCluster(servers).Error(); err != nil {
		t.Fatal(err)
	}
	for r.State() != raft.Leader {
		time.Sleep(time.Millisecond)
	}
	return r
}

// Entries of every kind that are committed, but wait for the state machine when raft is shut down, end with raft. It may
// answer one or the other: which of its channels its goroutine looks at is left to chance, for each entry anew.
func TestEntriesThatRaftForgetsEndWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsm := blockedFSM{make(chan struct{})}
		r := lonely(t, fsm)
		ended := make(chan struct{})
		ends := func(f raft.Future) raft.Future { return EndWith(f, ended) }
		var futures []raft.Future
		for range 20 {
			futures = append(futures, ends(r.Apply([]byte("x"), 0)))
			synctest.Wait() // each in a batch of its own
			futures = append(futures, ends(r.Barrier(0)))
			synctest.Wait()
			futures = append(futures, ends(r.AddNonvoter("n2", "n2", 0, 0)))
			synctest.Wait()
		}
		shutdown := r.Shutdown()
		close(fsm.free)
		if err := shutdown.Error(); err != nil {
			t.Fatal(err)
		}
		close(ended)
		forgotten := 0
		for _, f := range futures {
			switch err := f.Error(); {
			case errors.Is(err, raft.ErrRaftShutdown):
				forgotten++
			case err != nil:
				t.Error(err)
			}
		}
		if forgotten == 0 {
			t.Error("raft has answered all entries: EndWith is no longer needed")
		}
	})
}

// An answer of raft stays what it is, and so does an error that it gives at once.
func TestAnswersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		close(free)
		r := lonely(t, blockedFSM{free})
		ended := make(chan struct{})
		f := EndWith(r.Apply([]byte("x"), 0), ended)
		if err := f.Error(); err != nil || f.Response() != "applied" || f.Index() == 0 {
			t.Errorf("entry %d: %v, %v", f.Index(), f.Response(), err)
		}
		if err := r.Shutdown().Error(); err != nil {
			t.Fatal(err)
		}
		close(ended)
		if err := EndWith(r.Apply(nil, 0), ended).Error(); !errors.Is(err, raft.ErrRaftShutdown) {
			t.Error(err)
		}
	})
}
