package node

import (
	"context"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	// asideLimit bounds the wait until a replica that was asked to be copied anew
	// leads no more.
	asideLimit = 10 * time.Second
	// asidePoll is the pause between two tries to hand its lead over.
	asidePoll = 100 * time.Millisecond
)

// stepAside hands the leadership of a group over whose replica here is asked to be
// copied anew: who leads copies from nobody. Why says that nobody has taken it.
func (m *resyncs) stepAside(ctx context.Context, j *syncJob) (why string) {
	ctx, cancel := context.WithTimeout(ctx, asideLimit)
	defer cancel()
	var last error
	for {
		g, err := m.groupOf(j.Group)
		if err != nil || !g.IsLeader() {
			return "" // what is wrong with it the procedure finds
		}
		by := "the replica leads its group, and hands that over first"
		j.row.Change(func(r *api.Job) { r.BlockedBy = &by })
		if err := g.StepDown(ctx); err != nil && ctx.Err() == nil {
			last = err
		}
		timer := time.NewTimer(asidePoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Sprintf("it leads the group, and nobody has taken that over in %s: %v", asideLimit, last)
		}
	}
}
