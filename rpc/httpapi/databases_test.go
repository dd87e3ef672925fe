package httpapi_test

import (
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

func TestDatabasesAndDeletes(t *testing.T) {
	r := start(t, fakecluster.Options{})
	resp, got := r.do(0, "POST", "/v1/databases", `{"name":"x","retention":"90d"}`)
	if resp.StatusCode != 201 || !strings.Contains(got, `"retention":"90d"`) {
		t.Errorf("create: %d %s", resp.StatusCode, got)
	}
	if resp, got = r.do(1, "POST", "/v1/databases", `{"name":"x","retention":"2160h"}`); resp.StatusCode != 200 {
		t.Errorf("alike: %d %s", resp.StatusCode, got)
	}
	r.problem("POST", "/v1/databases", `{"name":"x"}`, api.AlreadyExists)
	if resp, got = r.do(1, "PATCH", "/v1/databases/x", `{"retention":""}`); resp.StatusCode != 200 || !strings.Contains(got, `"retention":""`) {
		t.Errorf("set: %d %s", resp.StatusCode, got)
	}
	_, got = r.do(0, "GET", "/v1/databases?limit=1", "")
	if !strings.Contains(got, `"name":"d"`) || !strings.Contains(got, `"next_page_token":"d"`) {
		t.Errorf("list: %s", got)
	}
	r.want(0, "POST", base+"/write/batch", `{"points":[{"id":"a","time":1,"f":1},{"id":"a","time":2,"f":1},{"id":"b","time":1,"f":1}]}`, 200, `{"written":3}`)
	r.want(0, "GET", "/v1/databases/d/collections", "", 200, `{"collections":[{"name":"c"}],"next_page_token":""}`)
	for _, empty := range []string{"", "?ids=", "?ids=[]", "?ids=a&ids=", "?start_time=", "?ids=a&end_time="} {
		if resp, got := r.do(0, "DELETE", base+"/delete"+empty, ""); resp.StatusCode != 400 {
			t.Errorf("a selector that selects nothing, %q: %d %s", empty, resp.StatusCode, got)
		}
	}
	r.want(0, "DELETE", base+"/delete?ids=a&start_time=2", "", 200, `{"groups":1}`)
	r.want(1, "GET", base+"/query", "", 200, `{"results":[{"id":"a","times":["1970-01-01T00:00:00.000000001Z"],"f":[1]},{"id":"b","times":["1970-01-01T00:00:00.000000001Z"],"f":[1]}]}`)
	r.want(1, "DELETE", base, "", 200, `{"groups":16}`)
	r.problem("DELETE", base, "", api.CollectionNotFound)
	r.problem("GET", base, "", api.CollectionNotFound)
	r.want(0, "POST", "/v1/databases/d/collections", `{"name":"c"}`, 201, `{"name":"c"}`)
	r.want(1, "POST", "/v1/databases/d/collections", `{"name":"c"}`, 200, `{"name":"c"}`)
	r.want(1, "GET", base, "", 200, `{"name":"c"}`)
	r.want(2, "GET", "/v1/databases/d/collections", "", 200, `{"collections":[{"name":"c"}],"next_page_token":""}`)
	r.want(2, "GET", base+"/query", "", 200, `{"results":[]}`)
	if resp, got = r.do(0, "DELETE", "/v1/databases/x", ""); resp.StatusCode != 200 {
		t.Errorf("drop: %d %s", resp.StatusCode, got)
	}
	r.problem("GET", "/v1/databases/x", "", api.DatabaseNotFound)
}

// ServeMux would redirect these paths to shorter ones, and clients repeat a DELETE there.
func TestNamesOfDotsAreNamesAndUncleanPathsAreNoRoutes(t *testing.T) {
	r := start(t, fakecluster.Options{})
	r.want(0, "POST", base+"/write/batch", `{"points":[{"id":"a","time":1,"f":1}]}`, 200, `{"written":1}`)
	for _, path := range []string{"/v1/databases/d/collections/..", "/v1/databases/d/collections/.", "/v1/databases/d/", "/v1/databases/x/../d",
		"/v1//databases/d", "/v1/databases/./d", base + "/../../..", "//"} {
		r.problem("DELETE", path, "", api.NotFound)
		r.problem("GET", path, "", api.NotFound)
	}
	r.want(0, "GET", base+"/query", "", 200, `{"results":[{"id":"a","times":["1970-01-01T00:00:00.000000001Z"],"f":[1]}]}`)
	const dots = "/v1/databases/%2E%2E/collections/%2e"
	for _, name := range []string{".", ".."} {
		if resp, got := r.do(0, "POST", "/v1/databases", `{"name":"`+name+`"}`); resp.StatusCode != 201 {
			t.Errorf("create %q: %d %s", name, resp.StatusCode, got)
		}
	}
	r.want(1, "POST", dots+"/write", `{"id":"..","time":1,"f":1}`, 200, `{"written":1}`)
	r.want(2, "GET", dots+"/query?ids=..", "", 200, `{"results":[{"id":"..","times":["1970-01-01T00:00:00.000000001Z"],"f":[1]}]}`)
	if resp, got := r.do(0, "GET", dots+"/device/%2E%2E/group", ""); resp.StatusCode != 200 {
		t.Errorf("the group of a device: %d %s", resp.StatusCode, got)
	}
	r.want(0, "DELETE", dots, "", 200, `{"groups":16}`)
	if resp, got := r.do(0, "DELETE", "/v1/databases/%2E", ""); resp.StatusCode != 200 {
		t.Errorf("drop: %d %s", resp.StatusCode, got)
	}
	r.problem("GET", "/v1/databases/%2E", "", api.DatabaseNotFound)
}
