package directory

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// take answers RPCs that raft must not see; false: raft gets it. The
// transport's goroutine calls it.
func (d *Directory) take(rpc raft.RPC) bool {
	if halted := d.Halted(); halted != nil {
		refuseRPC(rpc, halted)
		return true
	}
	switch req := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		d.installs.heard = d.installs.heard || req.PrevLogEntry > 0
	case *raft.InstallSnapshotRequest:
		if req.Term >= d.raft().CurrentTerm() {
			d.takeInstall(rpc, req)
			return true
		}
	}
	return false
}

// takeInstall judges a snapshot by the log as it is now. What raft still works
// on may change that log; then the next install is judged anew.
func (d *Directory) takeInstall(rpc raft.RPC, req *raft.InstallSnapshotRequest) {
	last := entryID{req.LastLogIndex, req.LastLogTerm}
	e, err := d.installEvidence(last)
	if err != nil {
		refuseRPC(rpc, err)
		return
	}
	switch judgeInstall(e) {
	case installImpossible:
		d.halt(fmt.Errorf("entry %d of the meta group: the leader has committed it in term %d, this node in term %d: two histories",
			last.index, last.term, e.term))
		refuseRPC(rpc, d.Halted())
		return
	case installHeld:
		drainRPC(rpc)
		rpc.Respond(&raft.InstallSnapshotResponse{Term: d.raft().CurrentTerm(), Success: true}, nil)
		d.tookInstall(e.applied)
		return
	case installContradicts:
		if err := d.dropContradicted(last); err != nil {
			refuseRPC(rpc, err)
			return
		}
	}
	d.letInstall(rpc)
}

// letInstall hands a snapshot to raft and sees how that ends.
func (d *Directory) letInstall(rpc raft.RPC) {
	answer := make(chan raft.RPCResponse, 1)
	to := rpc.RespChan
	rpc.RespChan = answer
	if !d.transport.hand(rpc) {
		return // the transport closes, and with it the question
	}
	select {
	case a := <-answer:
		to <- a
		if r, ok := a.Response.(*raft.InstallSnapshotResponse); ok && a.Error == nil && r.Success {
			d.tookInstall(d.raft().AppliedIndex())
		}
	case <-d.transport.stop:
	}
}

// tookInstall stops a replica that snapshots do not bring further.
func (d *Directory) tookInstall(applied uint64) {
	if !d.installs.took(applied) {
		d.halt(fmt.Errorf("%d snapshots of the meta group were installed and it stays at index %d", maxFruitless+1, applied))
	}
}

func (d *Directory) installEvidence(last entryID) (installEvidence, error) {
	e := installEvidence{last: last, applied: max(d.raft().AppliedIndex(), d.Table().Index)}
	var own raft.Log
	switch err := d.store.logs.GetLog(last.index, &own); {
	case err == nil:
		e.known, e.term = true, own.Term
	case !errors.Is(err, raft.ErrLogNotFound):
		return e, fmt.Errorf("read entry %d of the meta group: %w", last.index, err)
	}
	return e, nil
}

// dropContradicted stops raft, drops the log from a contradicted entry on and
// starts raft again. Term and vote stay as they are, and so do the entries
// before it. The stopped log decides: a running one may have changed since.
func (d *Directory) dropContradicted(last entryID) error {
	return d.replaceInstance(func() error {
		e, err := d.installEvidence(last)
		if err != nil || judgeInstall(e) != installContradicts {
			return err
		}
		end, err := d.store.logs.LastIndex()
		if err != nil {
			return fmt.Errorf("last index of the meta group: %w", err)
		}
		d.logger.Warn("the leader's snapshot contradicts the log: dropping the entries that cannot be committed",
			"from", last.index, "through", end, "term", e.term, "snapshot_term", last.term)
		return d.store.logs.DeleteRange(last.index, end)
	})
}

// refuseRPC answers with an error. What came with the question is read to its
// end, as raft does, since the stream is another's.
func refuseRPC(rpc raft.RPC, err error) {
	drainRPC(rpc)
	rpc.Respond(nil, err)
}

func drainRPC(rpc raft.RPC) {
	if rpc.Reader != nil {
		_, _ = io.Copy(io.Discard, rpc.Reader)
	}
}
