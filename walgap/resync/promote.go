package resync

import (
	"context"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/walgap"
)

// Between two looks at the configuration: short at first, since a replica that had its vote all along has it back as soon as
// its instance has started.
const (
	voteSoon  = 20 * time.Millisecond
	voteEvery = 200 * time.Millisecond
)

// promote waits until a new replica has its vote: the leader's reconcile gives it, once the proof is known. A replica
// that had its vote all along has nothing to wait for.
func (j *job) promote(ctx context.Context) (Outcome, error) {
	j.step(Promote, "watching")
	for try := 0; ; try++ {
		p, err := j.replica.Progress(ctx)
		if err != nil {
			return 0, fmt.Errorf("look at the replica: %w", err)
		}
		if p.Voter || !j.state.Installed && j.verdict.Kind == walgap.None {
			j.step(Promote, "counted")
			return Passed, nil
		}
		j.board.block("the leader has not given the replica a vote")
		if err := pause.For(ctx, backoff(try, voteSoon, voteEvery)); err != nil {
			return 0, err
		}
	}
}
