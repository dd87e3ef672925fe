package resync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/walgap"
)

const (
	endAgain       = time.Second // between two tries of one step
	releaseTimeout = 10 * time.Second
	releaseTries   = 2 // after the first
)

// finish gives back whatever the job took, in this order, each step of which may be done again after a crash:
//
//  1. what it has come to is written down: no restart of the process begins it anew;
//  2. the replica is released: it runs as before, if nothing was installed;
//  3. the leases and views end through the log. If no leader can be reached for it, their time passes first;
//  4. the row's keeper is told, durably, what the status is about to be;
//  5. the staging goes.
func (j *job) finish(ctx context.Context) (Outcome, error) {
	j.closeBuild()
	if j.unasked {
		j.state.Asked = false
	}
	if j.state.Ending != Done { // on a full disk the state can be written only when there is room
		j.removeStage()
	}
	write := j.persist
	if j.state.Ending == Done { // begun anew, it would find nothing to do
		write = j.note
	}
	if err := write(); err != nil {
		j.log.Warn("resync: the job's state was not written", "error", err)
	}
	j.step(Ending, "decided")
	if err := j.giveBack(ctx); err != nil {
		return 0, err
	}
	j.step(Ending, "released")
	j.stopRenewal()
	if err := j.endLeases(ctx); err != nil {
		return 0, err
	}
	j.step(Ending, "leases ended")
	if err := j.announce(ctx); err != nil {
		return 0, err
	}
	j.step(Ending, "told")
	if !j.req.DryRun {
		if err := sweep(j.dir); err != nil {
			j.log.Error("resync: the staging is left behind until the next start", "error", err)
		}
	}
	j.step(Ending, "swept")
	return Passed, nil
}

// giveBack releases the replica. One that cannot be released stays held until its process starts again: the job's
// leases must not wait for that.
func (j *job) giveBack(ctx context.Context) error {
	for try := 0; j.held != nil; try++ {
		limited, cancel := context.WithTimeout(ctx, releaseTimeout)
		err := j.release(limited)
		cancel()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case try >= releaseTries:
			j.log.Error("resync: the replica is held until the next start", "error", err)
			return nil
		default:
			j.board.block(err.Error())
			if err := pause.For(ctx, endAgain); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeStage frees the room that the copy took.
func (j *job) removeStage() {
	if j.req.DryRun {
		return
	}
	for _, pattern := range []string{stageFile, stageFile + ".*", stageFile + "-*"} {
		matches, _ := filepath.Glob(filepath.Join(j.dir, pattern)) // its only error is a bad pattern
		for _, path := range matches {
			if err := os.RemoveAll(path); err != nil {
				j.log.Warn("resync: remove the stage file", "error", err)
			}
		}
	}
}

// endLeases ends leases, views and pins. A leader that cannot be reached for the leases' time has let them run out.
func (j *job) endLeases(ctx context.Context) error {
	ids := j.state.leases()
	if len(ids) == 0 && j.state.Pin == "" && !j.pinAsked {
		return nil
	}
	if j.req.DryRun { // the pin ends by itself
		if _, err := j.remote.call(ctx, request{Op: opEnd, Pin: j.state.Pin}); err != nil && ctx.Err() == nil {
			j.log.Debug("resync: the pinned view of a dry run was not ended", "error", err)
		}
		return nil
	}
	target := j.targetText()
	over := time.Now().Add(leaseTTL + leaseSlack) // whenever they were last renewed: it was before now
	for try := 0; ; try++ {
		_, err := j.remote.call(ctx, request{Op: opEnd, Drop: ids, Pin: j.state.Pin, Target: target})
		switch {
		case err == nil:
			j.leasesOver = true
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !time.Now().Before(over):
			j.log.Info("resync: the leases ran out: no leader ended them", "error", err)
			return nil
		}
		j.board.block(fmt.Sprintf("ends its leases, which run out in %v: %v", time.Until(over).Round(time.Second), err))
		if err := pause.For(ctx, min(backoff(try, 100*time.Millisecond, 2*time.Second), max(time.Until(over), time.Millisecond))); err != nil {
			return err
		}
	}
}

// targetText is who asks. After a restart of the process the replica has to be asked; any generation of this node's may
// end its leases.
func (j *job) targetText() string {
	j.remote.mu.Lock()
	defer j.remote.mu.Unlock()
	if !j.remote.target.IsZero() {
		return ""
	}
	return j.config.Node.Server(0).String()
}

// announce shows the end before the staging goes. It is not final before that was kept.
func (j *job) announce(ctx context.Context) error {
	row := j.lastRow()
	j.board.edit(func(r *Row) { *r = row })
	for try := 0; ; try++ {
		err := j.board.tell()
		if err == nil {
			return nil
		}
		if try >= endTries {
			j.log.Error("resync: the end of the job was not kept", "error", err)
			return nil
		}
		if err := pause.For(ctx, endAgain); err != nil {
			return err
		}
	}
}

// lastRow is the row with plan against actual.
func (j *job) lastRow() Row {
	row, s := j.board.look(), j.state
	row.Ending, row.Error, row.BlockedBy, row.EtaS = s.Ending, s.Error, "", nil
	if s.Error != "" && row.Reason == "" {
		row.Reason = s.Error
	}
	if j.req.DryRun {
		eta := s.PlannedS
		row.EtaS = &eta
		return row
	}
	moved := int64(0)
	for _, source := range s.Sources {
		moved += source.Bytes
	}
	r := &Report{Verdict: s.Verdict, PlannedBytes: s.PlannedBytes, BytesMoved: moved, PlannedS: s.PlannedS,
		ElapsedS: time.Since(j.req.StartedAt).Seconds(), EntriesPlan: s.PlannedN, EntriesDone: s.Replayed, BytesKept: s.Kept,
		BytesCopied: s.Copied, InPlace: s.InPlace && s.Installed, Installed: s.Installed, Cuts: s.Cuts, CutsAborted: s.CutsAborted,
		FenceMaxMs: float64(s.Fence) / float64(time.Millisecond), Attempts: s.Attempt, Restarts: s.Restarts, ProofS: s.ProofS,
		SourcesBlamed: append([]string{}, s.Blamed...), LeasesEnded: j.leasesOver || len(s.leases()) == 0}
	if w := s.Switching; w != nil && s.Installed {
		r.CutIndex, r.CutTerm, r.Root = w.Position.Index, w.Position.Term, w.Root.String()
	}
	if s.Verdict == walgap.Replay.String() {
		r.BytesMoved = 0 // Raft moved them
	}
	row.Report = r
	return row
}

// result is what Run returns.
func (j *job) result() Result {
	j.board.edit(func(r *Row) {
		r.Status, r.FinishedAt = j.state.Ending, time.Now()
	})
	j.board.publish()
	row := j.board.look()
	var err error
	if row.Status != Done {
		err = errors.New(j.state.Error)
	}
	if row.Status == Cancelled {
		err = ErrCancelled
	}
	return Result{Status: row.Status, Row: row, Err: err}
}

func stagePath(dir string) string { return filepath.Join(dir, stageFile) }
