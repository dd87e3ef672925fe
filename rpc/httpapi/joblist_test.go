package httpapi_test

import (
	"encoding/json"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

func TestJobsAreListedByWhatTheyAre(t *testing.T) {
	r := start(t, fakecluster.Options{})
	for group, kind := range []string{api.JobResync, api.JobMove, api.JobResync} {
		id, target := uint32(group), []string{"n1", "n2", "n2"}[group]
		row, err := r.Nodes[group].Gateway.Jobs().Open(api.Job{Kind: kind, GroupID: &id, Target: &target, Status: api.StatusRunning}, nil, func() {})
		if err != nil {
			t.Fatal(err)
		}
		if group == 2 {
			row.End(api.StatusDone, func(*api.Job) {})
		}
	}
	for query, want := range map[string]int{
		"": 3, "?kind=resync": 2, "?kind=trim": 0, "?target=n2": 2, "?target=n2&kind=move": 1, "?group=0": 1, "?group=00": 1, "?group=9": 0,
		"?status=running": 2, "?status=running,stalled,queued": 2, "?status=done,failed": 1, "?status=running&kind=resync": 1,
	} {
		_, got := r.do(0, "GET", "/v1/admin/jobs"+query, "")
		var list api.JobList
		if err := json.Unmarshal([]byte(got), &list); err != nil || len(list.Jobs) != want || list.Jobs == nil {
			t.Errorf("%s: %d jobs, want %d: %s %v", query, len(list.Jobs), want, got, err)
		}
	}
	for _, query := range []string{"?status=runs", "?status=running,", "?group=x", "?group=-1", "?kinds=resync", "?kind=resyncs"} {
		r.problem("GET", "/v1/admin/jobs"+query, "", api.InvalidArgument)
	}
}
