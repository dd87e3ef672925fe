package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
)

// failed waits for a job that fails.
func failed(t *testing.T, g *gateway.Gateway, job api.Job, err error) (end api.Job, text string, code api.Code) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if end = finished(t, g, job.ID); end.Status != api.StatusFailed || end.Error == nil {
		t.Fatalf("job %+v", end)
	}
	if end.Code != nil {
		code = *end.Code
	}
	return end, *end.Error, code
}

func TestStepDownOfAGroupWithoutALeaderMayBeRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakecluster.New(t, fakecluster.Options{})
		c.SetLeader(3, "")
		g := c.Nodes[1].Gateway
		job, err := g.StepDown(t.Context(), 3, "")
		_, text, code := failed(t, g, job, err)
		if code != api.NoLeader || !strings.Contains(text, "group 3: no leader was found") || !strings.Contains(text, "retry; `flotilla group 3`") {
			t.Errorf("%s: %s", code, text)
		}
	})
}

func TestFailedStepDownSaysWhetherItMayBeRetried(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	g := c.Nodes[0].Gateway // it leads group 3, n2 leads group 4
	for _, tt := range []struct {
		group  uint32
		answer error
		lost   error
		want   api.Code
	}{
		{3, errors.New("no voter can take the leadership over"), nil, api.Unavailable},
		{3, fmt.Errorf("%w: n9 is no voter", gateway.ErrRefused), nil, api.Conflict},
		{4, nil, gateway.ErrBroken, api.OutcomeUnknown},
	} {
		c.OnOperate(func(string, uint32) error { return tt.answer })
		c.OnCall(func(_, _ string, m gateway.Method) (before, after error) {
			if m == gateway.MethodStepDown {
				after = tt.lost
			}
			return nil, after
		})
		job, err := g.StepDown(t.Context(), tt.group, "")
		if _, text, code := failed(t, g, job, err); code != tt.want || !strings.Contains(text, "flotilla group") {
			t.Errorf("%v %v: %s: %s", tt.answer, tt.lost, code, text)
		}
	}
}

func TestStepDownToWhoeverLeadsIsDone(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	c.OnOperate(func(string, uint32) error { return gateway.ErrNotApplied }) // there is nothing to hand over
	for _, asked := range c.Nodes {
		job, err := asked.Gateway.StepDown(t.Context(), 3, "n1") // n1 leads group 3
		if err != nil {
			t.Fatal(err)
		}
		job = finished(t, asked.Gateway, job.ID)
		var r api.StepDownResult
		if err := json.Unmarshal(job.Result, &r); err != nil || job.Status != api.StatusDone || !r.Already || r.From != "n1" || c.Leader(3) != "n1" {
			t.Errorf("asked %s: %s %+v %v", asked.Name, job.Status, r, err)
		}
	}
}

// Whoever looks for a leader goes on looking where a replica does not run, and
// forgets that it led once.
func TestReplicaThatDoesNotRunIsNotAskedForItsLead(t *testing.T) {
	for what, ask := range map[string]func(*gateway.Gateway) (api.Job, error){
		"hand-over": func(g *gateway.Gateway) (api.Job, error) { return g.StepDown(t.Context(), 3, "") },
		"check": func(g *gateway.Gateway) (api.Job, error) {
			return g.Verify(t.Context(), api.VerifyRequest{Groups: []uint32{3}})
		},
	} {
		c := fakecluster.New(t, fakecluster.Options{})
		g := c.Nodes[1].Gateway
		job, err := g.StepDown(t.Context(), 3, "n1") // which leads, and n2 knows
		if job = finished(t, g, job.ID); err != nil || job.Status != api.StatusDone {
			t.Fatalf("%+v %v", job, err)
		}
		c.SetLeader(3, "n3")
		c.OnOperate(func(node string, _ uint32) error {
			if node == "n1" {
				return fmt.Errorf("group is closed: %w", gateway.ErrNotRunning)
			}
			return nil
		})
		if job, err = ask(g); err != nil {
			t.Fatal(err)
		}
		if job = finished(t, g, job.ID); job.Status != api.StatusDone || strings.Contains(string(job.Result), "unchecked\":[{") {
			t.Errorf("%s: %s %s", what, job.Status, job.Result)
		}
	}
}

func TestOnlyReplicaCannotStepDown(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1})
	_, err := c.Nodes[0].Gateway.StepDown(t.Context(), 3, "")
	wantCode(t, err, api.Conflict)
}

func TestTrimWithoutALeaderMayBeRetriedAndOneThatFailsMayNot(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	g := c.Nodes[0].Gateway
	for _, tt := range []struct {
		answer error
		want   api.Code
	}{
		{fmt.Errorf("leases are not known: %w", gateway.ErrNotApplied), api.NoLeader},
		{errors.New("disk"), ""},
	} {
		c.OnOperate(func(node string, _ uint32) error {
			if node != "n2" {
				return nil
			}
			return tt.answer
		})
		job, err := g.Trim(t.Context(), []uint32{3})
		if _, text, code := failed(t, g, job, err); code != tt.want || !strings.Contains(text, "group 3 on n2") {
			t.Errorf("%v: %s: %s", tt.answer, code, text)
		}
	}
}

// A node that is gone, but not yet held for down, is offline all the same.
func TestTrimTakesANodeThatCannotBeReachedForOffline(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	c.OnCall(func(_, to string, m gateway.Method) (before, after error) {
		if m == gateway.MethodTrim && to == "n3" {
			before = fmt.Errorf("dial %s: %w", to, gateway.ErrUnreachable)
		}
		return before, nil
	})
	g := c.Nodes[0].Gateway
	job, err := g.Trim(t.Context(), []uint32{3})
	if err != nil {
		t.Fatal(err)
	}
	job = finished(t, g, job.ID)
	var r api.TrimResult
	if err := json.Unmarshal(job.Result, &r); err != nil {
		t.Fatal(err)
	}
	if job.Status != api.StatusDone || job.Code != nil || len(r.Trimmed) != 2 || len(r.Offline) != 1 || r.Offline[0].Node != "n3" {
		t.Errorf("%s %+v", job.Status, r)
	}
}

func trimResult(t *testing.T, g *gateway.Gateway, groups ...uint32) api.TrimResult {
	t.Helper()
	job, err := g.Trim(t.Context(), groups)
	if err != nil {
		t.Fatal(err)
	}
	job = finished(t, g, job.ID)
	var r api.TrimResult
	if err := json.Unmarshal(job.Result, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func logBegins(t *testing.T, g *gateway.Gateway, group uint32) map[string]uint64 {
	t.Helper()
	row, err := g.Group(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]uint64{}
	for _, r := range row.Replicas {
		out[r.Node] = r.LogFirst
	}
	return out
}

// Without a copy from elsewhere, a log that begins behind what a live replica
// has takes that replica out of the group for good.
func TestTrimKeepsWhatALiveReplicaHasNotGotYet(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	g := c.Nodes[0].Gateway
	group := groupOf("a")
	for i := range 9 {
		if _, err := g.Write(t.Context(), []storage.Point{point("a", int64(i), 1)}, 0); err != nil {
			t.Fatal(err)
		}
	}
	c.OnTrimPlan(func(node string, _ uint32, p gateway.TrimPlan) (gateway.TrimPlan, error) {
		if node == "n3" {
			p.LastIndex, p.Applied, p.Through = 5, 4, 4
		}
		return p, nil
	})
	plan, err := g.PlanTrim(t.Context(), []uint32{group})
	if err != nil {
		t.Fatal(err)
	}
	for _, rp := range plan.Groups[0].Replicas {
		if rp.Node != "n3" && (*rp.LogEntries != 4 || !strings.Contains(rp.Why, "kept for n3")) {
			t.Errorf("plan of %s: %d entries, %q", rp.Node, *rp.LogEntries, rp.Why)
		}
	}
	r := trimResult(t, g, group)
	if len(r.Trimmed) != 3 || len(r.Held) != 1 || r.Held[0].Node != "n3" || !strings.Contains(r.Held[0].Detail, "from 5 on") {
		t.Errorf("%+v", r)
	}
	if got := logBegins(t, g, group); got["n1"] != 5 || got["n2"] != 5 {
		t.Errorf("the logs begin at %v, n3 has what is up to 5", got)
	}
	// It does not tell: nothing may go.
	c.OnTrimPlan(func(node string, _ uint32, p gateway.TrimPlan) (gateway.TrimPlan, error) {
		if node == "n3" {
			return p, errors.New("not open yet")
		}
		return p, nil
	})
	if r = trimResult(t, g, group); len(r.Held) != 1 || !strings.Contains(r.Held[0].Detail, "not open yet") {
		t.Errorf("%+v", r)
	}
	if got := logBegins(t, g, group); got["n1"] != 5 || got["n2"] != 5 {
		t.Errorf("the logs begin at %v", got)
	}
	// Offline, it holds nothing back, and whoever asked is told what follows.
	c.SetDown("n3", true)
	if r = trimResult(t, g, group); len(r.Held) != 0 || len(r.Offline) != 1 || r.Offline[0].LogFirst == nil || *r.Offline[0].LogFirst != 10 ||
		!strings.Contains(r.Offline[0].Detail, "need a copy when it comes back, unless its log reaches 9") {
		t.Errorf("%+v", r)
	}
	if got := logBegins(t, g, group); got["n1"] != 10 || got["n2"] != 10 {
		t.Errorf("the logs begin at %v", got)
	}
}
