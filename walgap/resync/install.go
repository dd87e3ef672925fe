package resync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap"
)

// install proves what was built, and switches to it.
//
//  1. the leader makes a key that nobody has seen and begins to sum its own view with it;
//  2. the target sums what lies on its disk, read after the key came;
//  3. the leader compares, and tells its own sum: the target compares too. One challenge judges one claim;
//  4. with that answer the leader shows Raft the cut's record, where the target is in the configuration. One outside of it
//     needs none: its first entry will be the next one;
//  5. the switch, which is one step, or not done at all.
//
// Where the sums differ, or the target cannot read all that it staged, the damaged leaves are found, dropped and fetched again; nothing was replaced.
func (j *job) install(ctx, life context.Context) (Outcome, error) {
	j.board.extend(3*readingTime(bytesOf(j.manifest)), "reads and hashes what was staged")
	if err := j.prove(ctx); err != nil {
		return 0, err
	}
	j.step(Install, "proven")
	lineage := j.remote.agreed().Lineage
	j.state.Switching = &switched{CutID: j.cut.ID, Lineage: lineage, Position: j.cut.Position, Root: j.view.Root}
	if err := j.note(); err != nil {
		return 0, err
	}
	j.step(Install, "recorded")
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	began := time.Now()
	err := j.switchOver(life)
	if err != nil {
		j.state.Switching = nil
		return 0, err
	}
	took := j.cutTook + time.Since(began)
	j.config.Rates.Observe(func(r walgap.Rates) walgap.Rates { return r.WithCut(took) })
	j.step(Install, "switched")
	j.state.Installed = true // after a crash that Switching was written says enough
	j.fresh = true
	return Passed, nil
}

// switchOver is not cancelled half-way: what began ends, unless the process does.
func (j *job) switchOver(life context.Context) error {
	limited, cancel := context.WithTimeout(life, installBound)
	defer cancel()
	build, held := j.build, j.held
	j.build = nil
	err := held.Install(limited, Installation{Blueprint: j.blueprint(), Build: build})
	if err == nil || errors.Is(err, ErrKnowsMore) {
		j.held = nil
	}
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return nil
}

// prove ends well only if both ends have the same sum.
func (j *job) prove(ctx context.Context) error {
	a, err := j.remote.ask(ctx, request{Op: opChallenge, CutID: j.cut.ID}, j.board.block)
	if err != nil {
		return fmt.Errorf("ask for a challenge: %w", err)
	}
	j.step(Install, "challenged")
	from, began := j.board.time(), time.Now()
	j.board.proved(0)
	sum, err := j.build.Prove(ctx, a.Key, j.board.proved)
	switch {
	case errors.Is(err, storage.ErrDamaged): // no sum: blocks fail their own checksums
		return j.disproved(ctx, err)
	case err != nil:
		return fmt.Errorf("prove: %w", err)
	}
	took, given := time.Since(began), j.board.time().alone-from.alone
	j.board.moved()
	p, err := j.replica.Progress(ctx)
	if err != nil {
		return fmt.Errorf("look at the replica: %w", err)
	}
	a, err = j.remote.ask(ctx, request{Op: opProve, CutID: j.cut.ID, Sum: sum, Hold: p.Member}, j.board.block)
	if err != nil {
		return fmt.Errorf("prove: %w", err)
	}
	if a.Equal && a.Sum == sum {
		j.goal = 0
		if a.Index > j.cut.Position.Index && !j.remote.kept().record {
			j.goal = a.Index // above the cut: only Raft can bring the replica there
		}
		j.state.ProofS = took.Seconds()
		j.config.Rates.Observe(func(r walgap.Rates) walgap.Rates { return r.WithProof(uint64(bytesOf(j.manifest)), seconds(given)) })
		return nil
	}
	return j.disproved(ctx, errors.New("the sums differ"))
}

// disproved finds what is wrong with the copy, by the way in which the proof failed.
func (j *job) disproved(ctx context.Context, cause error) error {
	bad, err := j.build.Damaged(ctx)
	if err != nil {
		return fmt.Errorf("look for damaged leaves: %w", err)
	}
	if len(bad) == 0 {
		return fmt.Errorf("%w, and every leaf is what the manifest says: %w", ErrUnproven, cause)
	}
	j.log.Warn("resync: leaves changed after they were verified", "leaves", len(bad), "first", bad[0].String())
	if err := j.build.Drop(bad...); err != nil {
		return fmt.Errorf("drop damaged leaves: %w", err)
	}
	if err := j.build.Commit(); err != nil {
		return fmt.Errorf("drop damaged leaves: %w", err)
	}
	if j.state.InPlace { // they may be the old file's
		j.suspect(bad)
	}
	return fmt.Errorf("%w: %w: %d leaves, the first is %s", ErrUnproven, errUnprovenLeaves, len(bad), bad[0])
}
