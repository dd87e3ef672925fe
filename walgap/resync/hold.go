package resync

import (
	"context"
	"fmt"
)

// hold takes the replica out of service, and out of nothing else: it goes on voting, so that no voter is ever missed
// because it is copied to. The hold lasts over attempts.
func (j *job) hold(ctx context.Context) (Outcome, error) {
	j.step(Hold, "taking")
	if j.held == nil {
		if err := j.turn(ctx); err != nil {
			return 0, err
		}
		held, err := j.replica.Hold(ctx, j.req.ID)
		if err != nil {
			return 0, fmt.Errorf("hold the replica: %w", err)
		}
		j.held = held
	}
	j.step(Hold, "held")
	return Passed, nil
}

// turn waits until the node has room for one more copy: no time of the stage's, and no attempt.
func (j *job) turn(ctx context.Context) error {
	q, ok := j.replica.(Queued)
	if !ok {
		return nil
	}
	over := j.board.queue("waits for other resyncs that copy into this node")
	defer over()
	if err := q.Turn(ctx, j.req.ID); err != nil {
		return fmt.Errorf("wait for its turn: %w", err)
	}
	return nil
}

// release gives the replica back as it was: it applies from its log.
func (j *job) release(ctx context.Context) error {
	if j.held == nil {
		return nil
	}
	j.closeBuild()
	if err := j.held.Release(ctx); err != nil {
		return fmt.Errorf("release the replica: %w", err)
	}
	j.held = nil
	return nil
}

// closeBuild closes the stage file; what was committed stays.
func (j *job) closeBuild() {
	if j.build == nil {
		return
	}
	if err := j.build.Close(); err != nil {
		j.log.Warn("resync: close the stage file", "error", err)
	}
	j.build = nil
}
