package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

// plan asks for a plan.
func (r *rig) plan(path, body string) api.Plan {
	r.t.Helper()
	resp, got := r.do(1, "POST", path, body)
	var p api.Plan
	if err := json.Unmarshal([]byte(got), &p); err != nil || resp.StatusCode != 200 || !p.DryRun {
		r.t.Fatalf("%s: %d %s", path, resp.StatusCode, got)
	}
	return p
}

// actions is what a plan would do to one group's replicas.
func actions(g api.GroupPlan) string {
	var out []string
	for _, r := range g.Replicas {
		out = append(out, r.Node+" "+r.Action)
	}
	return strings.Join(out, ", ")
}

func TestDryRunsSayWhatWouldBeDoneAndDoNothing(t *testing.T) {
	r := start(t, fakecluster.Options{})
	r.OnCall(func(_, _ string, m gateway.Method) (before, after error) {
		if m == gateway.MethodTrim || m == gateway.MethodStepDown || m == gateway.MethodCut || m == gateway.MethodRoots {
			t.Errorf("method %d was called", m)
		}
		return nil, nil
	})
	for range 3 {
		r.want(0, "POST", base+"/write", `{"id":"a","time":1,"f":1}`, 200, `{"written":1}`)
	}
	group := fmt.Sprint(r.groupOf(t, "a"))
	leader := r.Leader(uint32(r.groupOf(t, "a")))

	p := r.plan("/v1/admin/groups/"+group+"/trim?dry_run=true", "")
	if g := p.Groups[0]; p.Kind != api.JobTrim || p.LogEntries != 9 || p.Bytes != 300 || g.Leader == nil || *g.Leader != leader || len(g.Replicas) != 3 ||
		*g.Replicas[0].LogEntries != 3 || g.Replicas[0].Action != api.PlanTrim || g.Why != "" {
		t.Errorf("trim %+v", p)
	}
	if p = r.plan("/v1/admin/trim?dry_run=true", `{"groups":[3,4,3]}`); len(p.Groups) != 2 {
		t.Errorf("trim of two %+v", p)
	}
	if p = r.plan("/admin/verify?dry_run=1", ""); len(p.Groups) != 16 || p.Mode == nil || *p.Mode != api.ModeAdvancedVerify {
		t.Errorf("verify of all %+v", p)
	}
	p = r.plan("/v1/admin/groups/3/verify?dry_run=true", `{"mode":"verify"}`)
	if *p.Mode != api.ModeVerify || actions(p.Groups[0]) != "n1 compare, n2 compare, n3 compare" || p.Groups[0].Why != "" {
		t.Errorf("verify %+v", p)
	}
	for path, want := range map[string]string{ // n1 leads group 3
		"step-down?dry_run=true": "n1 yield, n2 lead, n3 follow", "step-down?dry_run=true&to=n3": "n1 yield, n2 follow, n3 lead",
		"step-down?dry_run=true&to=n1": "n1 none, n2 none, n3 none",
	} {
		if p = r.plan("/v1/admin/groups/3/"+path, ""); actions(p.Groups[0]) != want || p.Groups[0].Target == nil {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if p = r.plan("/v1/admin/groups/3/step-down?dry_run=true", `{"to":"n3"}`); *p.Groups[0].Target != "n3" {
		t.Errorf("step down to n3: %+v", p)
	}
	if r.Leader(3) != "n1" {
		t.Error("a plan moved the leadership")
	}
	r.want(0, "GET", "/v1/admin/jobs", "", 200, `{"jobs":[],"next_page_token":""}`)
	r.OnCall(nil)
	if resp, _ := r.do(0, "POST", "/v1/admin/groups/3/verify?dry_run=false", ""); resp.StatusCode != 202 {
		t.Errorf("dry_run=false: %d", resp.StatusCode)
	}
}

func TestDryRunsSayWhatStandsInTheWay(t *testing.T) {
	r := start(t, fakecluster.Options{})
	r.SetDown("n3", true)
	p := r.plan("/v1/admin/groups/3/trim?dry_run=true", "")
	if g := p.Groups[0]; actions(g) != "n1 trim, n2 trim, n3 skip" || g.Why != "" || !strings.Contains(g.Replicas[2].Why, "n3 is down") || g.Replicas[2].LogEntries != nil {
		t.Errorf("trim without n3: %+v", g)
	}
	if g := r.plan("/v1/admin/groups/3/verify?dry_run=true", "").Groups[0]; !strings.Contains(g.Why, "unchecked: node n3 is down") {
		t.Errorf("verify without n3: %+v", g)
	}
	r.SetLeader(3, "")
	for _, action := range []string{"verify", "step-down"} {
		if g := r.plan("/v1/admin/groups/3/"+action+"?dry_run=true", "").Groups[0]; g.Leader != nil || !strings.Contains(g.Why, "no leader") {
			t.Errorf("%s without a leader: %+v", action, g)
		}
	}
	r.SetLeader(3, "n1")
	r.OnOperate(func(string, uint32) error { return fmt.Errorf("nobody is near enough") })
	if g := r.plan("/v1/admin/groups/3/step-down?dry_run=true", "").Groups[0]; g.Target != nil || !strings.Contains(g.Why, "near enough") {
		t.Errorf("step-down without a target: %+v", g)
	}
	if g := r.plan("/v1/admin/groups/3/trim?dry_run=true", "").Groups[0]; g.Replicas[0].LogEntries != nil || !strings.Contains(g.Replicas[0].Why, "near enough") {
		t.Errorf("trim that does not tell: %+v", g)
	}
}

// groupOf is the group of a device of the collection that the tests use.
func (r *rig) groupOf(t *testing.T, device string) int {
	t.Helper()
	_, got := r.do(0, "GET", base+"/device/"+device+"/group", "")
	var d api.DeviceGroup
	if err := json.Unmarshal([]byte(got), &d); err != nil {
		t.Fatal(err, got)
	}
	return int(d.GroupID)
}
