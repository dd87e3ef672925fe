package client_test

import (
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

func TestResyncAndMoveOverGRPC(t *testing.T) {
	runs := map[string]*fakecluster.Resyncs{}
	c := fakecluster.New(t, fakecluster.Options{Configure: func(_ int, c *gateway.Config) {
		runs[c.Self.Name] = &fakecluster.Resyncs{Node: c.Self.Name}
		c.Resyncs = runs[c.Self.Name]
	}})
	c.Unassign(3, "n3")
	cl := dial(t, c, client.Options{RetryFor: 5 * time.Second})
	share := 0.0
	jobs, err := cl.Resync(t.Context(), client.Resync{Target: "n2", Groups: []uint32{4, 3}, From: "n1", Mode: api.ModeFullSync, MaxPause: 1500 * time.Microsecond, Rate: 700_000, LeaderShare: &share})
	if err != nil || len(jobs) != 2 || jobs[0].Status != api.StatusDone {
		t.Fatalf("%+v, %v", jobs, err)
	}
	if jobs, err = cl.Resync(t.Context(), client.Resync{Target: "n3"}); err != nil || len(jobs) != fakecluster.TotalGroups-1 {
		t.Errorf("all: %d jobs, %v", len(jobs), err)
	}
	plan, err := cl.PlanResync(t.Context(), client.Resync{Target: "n2", Groups: []uint32{5}})
	if err != nil || !plan.DryRun || *plan.Groups[0].Resync.Verdict != api.VerdictDelta {
		t.Errorf("%+v, %v", plan, err)
	}
	job, err := cl.Move(t.Context(), 3, "n1", "n3", client.Resync{Rate: 900_000})
	if err != nil || job.Kind != api.JobMove {
		t.Errorf("%+v, %v", job, err)
	}
	if plan, err = cl.PlanMove(t.Context(), 3, "n1", "n3", client.Resync{}); err != nil || plan.Kind != api.JobMove {
		t.Errorf("%+v, %v", plan, err)
	}
	want := "begin [3 4] from=n1 mode=full-sync pause=2ms rate=700000 share=0 | plan [5] from= mode=auto pause=100ms rate=0 share=0.5"
	if got := strings.Join(runs["n2"].Asked(), " | "); got != want {
		t.Errorf("asked %s\nwant %s", got, want)
	}
	if asked := runs["n3"].Asked(); len(asked) != 3 || asked[1] != "move 3 of n1 from= mode=auto pause=100ms rate=900000 share=0.5" {
		t.Errorf("asked %q", asked)
	}

	_, err = cl.Resync(t.Context(), client.Resync{Target: "n9"})
	code(t, err, api.NodeNotFound)
	_, err = cl.Resync(t.Context(), client.Resync{Target: "n2", Rate: -1})
	code(t, err, api.InvalidArgument)
	_, err = cl.Move(t.Context(), 3, "n1", "n2", client.Resync{})
	code(t, err, api.Conflict)
}
