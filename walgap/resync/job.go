package resync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// job is one run of a job, in one process. Its driver alone touches it; board and remote guard themselves.
type job struct {
	config  Config
	req     Request
	dir     string
	log     *slog.Logger
	replica Replica
	remote  *remote
	board   *board
	state   *state
	notes   notes

	// Of the attempt.
	standing Standing
	verdict  walgap.Verdict
	leader   walgap.Leader
	sources  []Source
	cutTook  time.Duration
	goal     uint64 // index that replay waits for; 0: not known yet
	held     Held   // nil: no hold
	cut      cutAnswer
	listed   *answer // with the view of the cut, and the first page of its manifest; nil: to be asked for
	view     viewAnswer
	manifest []digest.Entry
	compared Comparison
	build    Build // nil: not open

	restarts    int   // in a row without progress
	progressed  int64 // what the last restart saw
	stopRenewal func()
	pinAsked    bool // this process has asked for a record to be pinned
	leasesOver  bool // ended through the log, as far as can be known
	unasked     bool // nothing was asked of a leader yet, in any process
	fresh       bool // installed since the last plan: its leader holds what the replica needs
}

// step is a crash point.
func (j *job) step(s Stage, point string) {
	if j.config.Hooks.Step != nil {
		j.config.Hooks.Step(j.req.ID, s, point)
	}
}

// persist writes the state down so that it outlives the machine's power. A dry run leaves no trace.
func (j *job) persist() error { return j.writeState(durably) }

// note writes the state down so that it outlives the process. When the power goes, what comes back may be an older state, or
// none: for what then costs work that is done again, or leases that run out by themselves, and nothing else. A job has a
// dozen of these, and each sync waits for the disk.
func (j *job) note() error { return j.writeState(lazily) }

func (j *job) writeState(how durability) error {
	if j.req.DryRun {
		return nil
	}
	if j.config.Hooks.Write != nil {
		if err := j.config.Hooks.Write(j.req.ID); err != nil {
			return err
		}
	}
	return j.notes.write(j.dir, j.state, how)
}

// drive runs the stages until there is none left. life is the process's; ctx ends with it, or when the job is cancelled.
func (j *job) drive(life, ctx context.Context) Result {
	stop := j.watch(life)
	defer stop()
	stage := Plan
	if j.state.Ending != "" {
		stage = Ending
	}
	for stage != Ended {
		outcome, err := j.perform(life, ctx, stage)
		if life.Err() != nil && (stage != Ending || err != nil) {
			return j.interrupted(life)
		}
		if stage, err = j.follow(life, ctx, stage, outcome, err); err != nil {
			return j.interrupted(life)
		}
	}
	stop() // nothing is shown behind the last row
	return j.result()
}

// watch starts what goes on beside the stages; the function that it returns ends that, and waits.
func (j *job) watch(life context.Context) (stop func()) {
	var watchers sync.WaitGroup
	watching, stopWatching := context.WithCancel(life)
	watchers.Go(func() { j.board.watch(watching) })
	renewing, stopRenewal := context.WithCancel(watching)
	renewed := make(chan struct{})
	watchers.Go(func() {
		defer close(renewed)
		j.renewals(renewing)
	})
	j.stopRenewal = func() {
		stopRenewal()
		<-renewed
	}
	return func() {
		stopRenewal()
		stopWatching()
		watchers.Wait()
	}
}

// interrupted leaves everything as it is, for Resume.
func (j *job) interrupted(life context.Context) Result {
	j.closeBuild()
	row := j.board.look()
	row.Status = Interrupted
	return Result{Status: Interrupted, Row: row, Err: context.Cause(life)}
}

// perform runs one stage under its bounds.
func (j *job) perform(life, ctx context.Context, stage Stage) (Outcome, error) {
	parent := ctx
	if stage == Ending {
		parent = life
	}
	limited, end := context.WithCancelCause(parent)
	defer end(nil)
	idle := infoOf(stage).Idle
	if j.req.DryRun {
		idle = min(idle, dryRunIdle)
	}
	j.board.enter(stage, idle, end)
	defer j.board.leave()
	if parent.Err() != nil {
		err := context.Cause(parent)
		return classify(stage, 0, err), err
	}
	outcome, err := j.run(life, limited, stage)
	if err != nil && limited.Err() != nil {
		err = context.Cause(limited) // why it was ended says more than what that broke
	}
	return classify(stage, outcome, err), err
}

func (j *job) run(life, ctx context.Context, stage Stage) (Outcome, error) {
	switch stage {
	case Plan:
		return j.plan(ctx)
	case Hold:
		return j.hold(ctx)
	case Cut:
		return j.makeCut(ctx)
	case Explore:
		return j.explore(ctx)
	case Fetch:
		return j.fetch(ctx)
	case Install:
		return j.install(ctx, life)
	case Replay:
		return j.watchReplay(ctx)
	case Promote:
		return j.promote(ctx)
	}
	return j.finish(ctx)
}

// classify makes an outcome of an error. One that the stage does not know is Broken.
func classify(s Stage, o Outcome, err error) Outcome {
	if err == nil {
		return o
	}
	o = Broken
	for _, c := range []struct {
		err error
		is  Outcome
	}{
		{ErrCancelled, Cancel}, {ErrMoved, Moved}, {ErrRefused, Refused}, {ErrKnowsMore, KnowsMore},
		{errUnprovenLeaves, Unproven}, {storage.ErrNotPinned, ViewLost}, {ErrNoRoom, NoRoom},
	} {
		if errors.Is(err, c.err) {
			o = c.is
			break
		}
	}
	if o == Broken && diskFull(err) {
		o = NoRoom
	}
	if _, unknown := Next(s, o); unknown != nil {
		return Broken
	}
	return o
}

// follow takes the transition that an outcome leads to, and pays for it. An error: the process ends.
func (j *job) follow(life, ctx context.Context, from Stage, on Outcome, cause error) (Stage, error) {
	t, err := Next(from, on)
	if err != nil { // Ending that is stuck has nothing behind it
		j.log.Error("resync: what the job took was not given back whole", "error", errors.Join(err, cause))
		return Ended, nil
	}
	if t.To == Plan && !t.Attempt || on == ViewLost {
		t, cause = j.restart(t, cause)
	}
	if t.Attempt && j.state.Attempt >= j.req.MaxAttempts {
		if t, err = Next(from, Exhausted); err != nil {
			return Ended, nil
		}
	}
	if j.config.Hooks.Change != nil {
		j.config.Hooks.Change(j.req.ID, t)
	}
	j.log.Debug("resync: stage ended", "stage", from.String(), "outcome", on.String(), "next", t.To.String(), "error", cause)
	if t.To == Ending {
		j.conclude(from, t.End, cause)
		return Ending, nil
	}
	if !t.Attempt && t.To != Plan && on != ViewLost {
		return t.To, nil
	}
	wait := backoff(j.restarts, 100*time.Millisecond, 5*time.Second)
	if t.Attempt {
		wait = backoff(j.state.Attempt, time.Second, 30*time.Second)
		j.state.Attempt++
		j.board.edit(func(r *Row) { r.Attempt = j.state.Attempt })
	}
	if err := j.note(); err != nil {
		j.log.Warn("resync: the job's state was not written", "error", err)
	}
	j.board.block(fmt.Sprintf("next try in %v: %v", wait, cause))
	j.board.publish()
	if pause.For(ctx, wait) != nil && life.Err() != nil {
		return t.To, life.Err()
	}
	return t.To, nil // a cancelled job learns of it in the stage
}

// restart counts a change that costs no attempt. Many in a row with nothing moved in between are no bad luck.
func (j *job) restart(t Transition, cause error) (Transition, error) {
	row := j.board.look()
	if moved := row.BytesDone + row.EntriesDone; moved != j.progressed {
		j.progressed, j.restarts = moved, 0
	}
	j.restarts++
	j.state.Restarts++
	if j.restarts > maxRestarts {
		j.restarts = 0
		broken, err := Next(t.From, Broken)
		if err == nil {
			return broken, fmt.Errorf("%d restarts in a row, the last one: %w", maxRestarts, cause)
		}
	}
	return t, cause
}

// conclude decides what the job has come to. From here on it only gives back.
func (j *job) conclude(at Stage, end Status, cause error) {
	j.state.Ending = end
	if end != Done {
		j.state.Error = fmt.Sprintf("%s: %v", at, cause)
	}
	if end == Cancelled {
		j.state.Error = ErrCancelled.Error()
	}
}
