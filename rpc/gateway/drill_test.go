package gateway_test

import (
	"errors"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

// Nothing is damaged but one replica of a group that is whole.
func TestDrillThatCannotBeIsRefused(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	fill(t, c, 20, 10)
	g := c.Nodes[0].Gateway
	for name, d := range map[string]struct {
		r    gateway.DrillRequest
		code api.Code
	}{
		"KindThatIsNone":   {gateway.DrillRequest{Group: 5, Node: "n2", Kind: "flood"}, api.InvalidArgument},
		"NoNode":           {gateway.DrillRequest{Group: 5}, api.InvalidArgument},
		"NodeThatIsNone":   {gateway.DrillRequest{Group: 5, Node: "n9"}, api.NodeNotFound},
		"GroupThatIsNone":  {gateway.DrillRequest{Group: 9999, Node: "n2"}, api.GroupNotFound},
		"NodeTakesNoDrill": {gateway.DrillRequest{Group: 5, Node: "n2"}, api.Conflict},
	} {
		job, err := g.Drill(t.Context(), d.r)
		if err == nil { // the node itself refused
			job = finished(t, g, job.ID)
			if job.Kind != api.JobDrill || job.Status != api.StatusFailed || job.Code == nil || *job.Code != d.code {
				t.Errorf("%s: job %+v", name, job)
			}
			continue
		}
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != d.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDrillIsRefusedWhileAReplicaIsNotThere(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	fill(t, c, 20, 10)
	away := "n2"
	if c.Leader(5) == away {
		away = "n3"
	}
	c.SetDown(away, true)
	_, err := c.Nodes[0].Gateway.Drill(t.Context(), gateway.DrillRequest{Group: 5, Node: c.Leader(5)})
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.Conflict {
		t.Errorf("%v", err)
	}
}
