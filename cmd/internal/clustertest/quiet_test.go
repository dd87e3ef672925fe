package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// Nobody writes: what is committed is known to a replica that was copied, and to
// those of a node that comes back, long before their leader would have told it.
func TestReplicasOfQuietGroupsKnowAtOnceWhatIsCommitted(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		const groups = 8
		quiet := 5 * raftgroup.DefaultTimers().Commit
		c := StartNew(t, 3, func(_ int, cfg *config.Config) { cfg.Coordinator.TotalGroups = groups })
		c.writeEverywhere(t, 5*groups, false)
		time.Sleep(quiet)
		copied, err := c.nodes[0].Node().Gateway().Resync(t.Context(),
			gateway.ResyncRequest{Target: "n3", ResyncOptions: gateway.ResyncOptions{Mode: "full-sync"}})
		if err != nil || len(copied) < groups-1 {
			t.Fatalf("%d jobs: %v", len(copied), err)
		}
		c.awaitResyncs(t, 2, len(copied))
		for _, j := range c.resyncs(2) {
			if took := j.FinishedAt.Sub(j.StartedAt.Time); j.Status != api.StatusDone || took > raftgroup.DefaultTimers().Commit/2 {
				t.Errorf("the copy of group %d took %v: %s", *j.GroupID, took, j.Status)
			}
		}
		c.Stop(2)
		time.Sleep(quiet)
		c.Start(2)
		took := c.Await("n3 knows what is committed", time.Minute, func() string {
			h := c.nodes[2].Node().Groups()
			if h == nil {
				return "no group is open"
			}
			for _, g := range h.Groups() {
				if s := g.Status(); s.CommitIndex == 0 || s.Leader.IsZero() {
					return fmt.Sprintf("group %d: commit %d, %s", s.Group, s.CommitIndex, s.Why)
				}
			}
			return ""
		})
		if took > raftgroup.DefaultTimers().Commit/2 {
			t.Errorf("n3 knew what is committed after %v", took)
		}
	})
}
