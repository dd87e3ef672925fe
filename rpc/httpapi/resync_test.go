package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

// resyncRig is a cluster whose n3 takes resyncs, asked through n1; n4 holds
// nothing.
func resyncRig(t *testing.T) (*rig, map[string]*fakecluster.Resyncs) {
	t.Helper()
	runs := map[string]*fakecluster.Resyncs{}
	r := start(t, fakecluster.Options{Nodes: 3, Configure: func(_ int, c *gateway.Config) {
		runs[c.Self.Name] = &fakecluster.Resyncs{Node: c.Self.Name}
		c.Resyncs = runs[c.Self.Name]
	}})
	return r, runs
}

func last(asked []string) string {
	if len(asked) == 0 {
		return ""
	}
	return asked[len(asked)-1]
}

func TestResyncIsGivenToTheNodeThatLacksTheData(t *testing.T) {
	r, runs := resyncRig(t)
	for _, request := range []struct{ path, body, want string }{
		{"/v1/admin/groups/3/resync?target=n3", "", "begin [3] from= mode=auto pause=100ms rate=0 share=0.5"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","from":"n2","mode":"full-sync","max_pause":"20ms","rate":"64MiB","leader_share":"25%"}`,
			"begin [3] from=n2 mode=full-sync pause=20ms rate=67108864 share=0.25"},
		{"/admin/groups/3/resync?mode=auto&rate=5", `{"target":"n3","mode":"partial-sync","rate":409600,"leader_share":0}`,
			"begin [3] from= mode=partial-sync pause=100ms rate=409600 share=0"},
		{"/v1/admin/groups/3/resync?target=n3&rate=1MiB/s&leader_share=0.75&max_pause=1s", "", "begin [3] from= mode=auto pause=1s rate=1048576 share=0.75"},
		{"/v1/admin/groups/3/resync?target=n3&dry_run=false", `{"rate":null}`, "begin [3] from= mode=auto pause=100ms rate=0 share=0.5"},
	} {
		resp, got := r.do(0, "POST", request.path, request.body)
		var job api.Job
		if err := json.Unmarshal([]byte(got), &job); err != nil || resp.StatusCode != 202 || job.Kind != api.JobResync || *job.Target != "n3" ||
			resp.Header.Get("Location") != "/v1/admin/jobs/"+job.ID {
			t.Errorf("%s: %d %s %v", request.path, resp.StatusCode, got, err)
		}
		if asked := last(runs["n3"].Asked()); asked != request.want {
			t.Errorf("%s: asked %q, want %q", request.path, asked, request.want)
		}
	}
	if len(runs["n1"].Asked())+len(runs["n2"].Asked()) > 0 {
		t.Error("a node drives the resync of another")
	}
}

func TestResyncOfManyGroupsAnswersAJobEach(t *testing.T) {
	r, runs := resyncRig(t)
	resp, got := r.do(1, "POST", "/v1/admin/resync", `{"target":"n3","groups":[5,3,5]}`)
	var list api.JobList
	if err := json.Unmarshal([]byte(got), &list); err != nil || resp.StatusCode != 202 || len(list.Jobs) != 2 || *list.Jobs[0].GroupID != 3 {
		t.Errorf("%d %s %v", resp.StatusCode, got, err)
	}
	resp, got = r.do(1, "POST", "/v1/admin/resync?target=n3", "")
	if err := json.Unmarshal([]byte(got), &list); err != nil || resp.StatusCode != 202 || len(list.Jobs) != fakecluster.TotalGroups {
		t.Errorf("all: %d %s %v", resp.StatusCode, got, err)
	}
	p := r.plan("/v1/admin/resync?dry_run=true", `{"target":"n3","mode":"partial-sync"}`)
	if p.Kind != api.JobResync || *p.Mode != api.ModePartialSync || len(p.Groups) != fakecluster.TotalGroups || p.Bytes != 1000*fakecluster.TotalGroups {
		t.Errorf("plan of all: %+v", p)
	}
	if g := r.plan("/v1/admin/groups/3/resync?dry_run=true&target=n3", "").Groups[0]; *g.Resync.Verdict != api.VerdictDelta || *g.Resync.EtaS != 2.5 || len(g.Resync.Sources) != 2 {
		t.Errorf("plan of one: %+v", g)
	}
	for _, asked := range runs["n3"].Asked()[2:] {
		if !strings.HasPrefix(asked, "plan ") {
			t.Errorf("a plan did %s", asked)
		}
	}
}

func TestMoveNamesWhoGivesAndWhoTakes(t *testing.T) {
	r, runs := resyncRig(t)
	r.Unassign(3, "n3")
	resp, got := r.do(0, "POST", "/v1/admin/groups/3/move", `{"from":"n1","to":"n3","rate":"1MiB"}`)
	if want := "move 3 of n1 from= mode=auto pause=100ms rate=1048576 share=0.5"; resp.StatusCode != 202 || last(runs["n3"].Asked()) != want {
		t.Errorf("%d %s; asked %v", resp.StatusCode, got, runs["n3"].Asked())
	}
	p := r.plan("/v1/admin/groups/3/move?from=n1&to=n3&dry_run=true", "")
	if p.Kind != api.JobMove || actions(p.Groups[0]) != "n1 go, n3 copy" {
		t.Errorf("plan: %+v", p)
	}
	for body, code := range map[string]api.Code{
		`{}`: api.InvalidArgument, `{"from":"n1"}`: api.InvalidArgument, `{"from":"n1","to":"n9"}`: api.NodeNotFound,
		`{"from":"n1","to":"n2"}`: api.Conflict, `{"from":"n3","to":"n3"}`: api.Conflict, `{"from":"n1","target":"n3"}`: api.InvalidArgument,
	} {
		r.problem("POST", "/v1/admin/groups/3/move", body, code)
	}
}

func TestResyncsThatCannotBeAreRefused(t *testing.T) {
	r, runs := resyncRig(t)
	r.Unassign(4, "n3")
	for _, c := range []struct {
		path, body string
		code       api.Code
		text       string
	}{
		{"/v1/admin/groups/3/resync", "", api.InvalidArgument, "--target"},
		{"/v1/admin/groups/3/resync", `{"target":"n9"}`, api.NodeNotFound, `n9\" does not exist`},
		{"/v1/admin/groups/99/resync", `{"target":"n3"}`, api.GroupNotFound, "group 99 does not exist"},
		{"/v1/admin/groups/x/resync", `{"target":"n3"}`, api.InvalidArgument, "no group id"},
		{"/v1/admin/groups/4/resync", `{"target":"n3"}`, api.Conflict, "holds no replica of group 4"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","from":"n3"}`, api.InvalidArgument, "its own source"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","from":"n9"}`, api.NodeNotFound, "n9"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","mode":"verify"}`, api.InvalidArgument, "auto, full-sync or partial-sync"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","max_pause":"0s"}`, api.InvalidArgument, "above zero"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","max_pause":"1h"}`, api.InvalidArgument, "at most 10s"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","rate":"fast"}`, api.InvalidArgument, "64MiB"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","rate":-1}`, api.InvalidArgument, "64MiB"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","rate":"255KiB"}`, api.InvalidArgument, "256KiB is the least"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","leader_share":"50"}`, api.InvalidArgument, "50%"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","leader_share":[]}`, api.InvalidArgument, "leader_share"},
		{"/v1/admin/groups/3/resync", `{"target":3}`, api.InvalidArgument, "a text"},
		{"/v1/admin/groups/3/resync", `{"target":"n3","groups":[3]}`, api.InvalidArgument, "groups"},
		{"/v1/admin/groups/3/resync", `{"targt":"n3"}`, api.InvalidArgument, `did you mean \"target\"`},
		{"/v1/admin/groups/3/resync?groups=3&target=n3", "", api.InvalidArgument, "groups"},
		{"/v1/admin/groups/3/resync?target=n3&dry_run=maybe", "", api.InvalidArgument, "true or false"},
		{"/v1/admin/resync", `{"target":"n3","groups":["3"]}`, api.InvalidArgument, "a list of numbers"},
		{"/v1/admin/resync", `[]`, api.InvalidArgument, "no object"},
	} {
		p := r.problem("POST", c.path, c.body, c.code)
		if text, _ := json.Marshal(p); !strings.Contains(string(text), c.text) {
			t.Errorf("%s %s: %s does not say %q", c.path, c.body, text, c.text)
		}
	}
	if len(runs["n3"].Asked()) > 0 {
		t.Errorf("it was asked for %v", runs["n3"].Asked())
	}
	r.SetDown("n3", true)
	r.problem("POST", "/v1/admin/groups/3/resync", `{"target":"n3"}`, api.Unavailable)
}
