package httpapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

// A device or field that is named twice is meant once, however it is named.
func TestNamesGivenTwiceAreMeantOnce(t *testing.T) {
	r := start(t, fakecluster.Options{})
	r.want(0, "POST", base+"/write/batch", `{"points":[{"id":"a","time":1,"f":1,"g":2},{"id":"b","time":1,"f":3}]}`, 200, `{"written":2}`)
	both := `{"results":[{"id":"b","times":["1970-01-01T00:00:00.000000001Z"],"f":[3]},{"id":"a","times":["1970-01-01T00:00:00.000000001Z"],"f":[1]}]}`
	for _, query := range []string{
		"?ids=b,a,b&fields=f,f", "?ids=b&ids=a&ids=b&fields=f&fields=f", "?fields=f&ids=" + url.QueryEscape(`["b","b","a","a"]`),
	} {
		r.want(1, "GET", base+"/query"+query, "", 200, both)
	}
	r.want(2, "POST", base+"/query", `{"ids":["b","a","b"],"fields":["f","f"]}`, 200, both)
	r.want(2, "GET", base+"/query?ids=b,b&fields=f&aggregation=sum", "", 200,
		`{"results":[{"id":"b","times":["1970-01-01T00:00:00.000000001Z"],"f":[3]}]}`)
	r.want(0, "DELETE", base+"/delete?ids=a,a", "", 200, `{"groups":1}`)
	r.want(0, "GET", base+"/query?ids=a,b,b&fields=f", "", 200, `{"results":[{"id":"b","times":["1970-01-01T00:00:00.000000001Z"],"f":[3]}]}`)
}

func TestListsThatCannotBeMeantAreRefused(t *testing.T) {
	r := start(t, fakecluster.Options{})
	r.want(0, "POST", base+"/write", `{"id":"a","time":1,"f":1}`, 200, `{"written":1}`)
	r.want(0, "POST", base+"/write", `{"id":"\ud83d\ude00\ufffd","time":1,"f":1}`, 200, `{"written":1}`)
	for _, ids := range []string{"ids=", "ids=[]", "ids=a&ids=", "ids=[%22%5Cud800%22]", "ids=[%22%FF%22]", "limit=3000000000"} {
		p := r.problem("GET", base+"/query?"+ids, "", api.InvalidArgument)
		if ids == "limit=3000000000" && !strings.Contains(fmt.Sprint(p["hint"]), "to 2147483647") {
			t.Errorf("the bound is not told: %v", p)
		}
		if ids != "limit=3000000000" {
			r.problem("DELETE", base+"/delete?"+ids, "", api.InvalidArgument)
		}
	}
	for _, body := range []string{`{"ids":[]}`, `{"ids":""}`, `{"ids":["\ud800"]}`, "{\"ids\":[\"\xff\"]}"} {
		r.problem("POST", base+"/query", body, api.InvalidArgument)
	}
	r.problem("POST", base+"/write", `{"id":"a","time":1,"s":"\ud800"}`, api.InvalidPoints)
	r.problem("POST", base+"/write/batch", `{"points":[{"id":"\udc00","time":1,"f":1}]}`, api.InvalidPoints)
	r.want(0, "POST", base+"/query", `{"ids":["\ud83d\ude00\ufffd"]}`, 200, "{\"results\":[{\"id\":\"😀\ufffd\",\"times\":[\"1970-01-01T00:00:00.000000001Z\"],\"f\":[1]}]}")
}

func TestAListOfJobsNamesTheNodesThatAreMissing(t *testing.T) {
	r := start(t, fakecluster.Options{})
	for _, want := range []string{"", "n3"} {
		r.SetDown("n3", want != "")
		resp, got := r.do(0, "GET", "/v1/admin/jobs", "")
		if resp.StatusCode != 200 || strings.Join(resp.Header.Values(api.SilentNodesHeader), ",") != want || strings.TrimSpace(got) != `{"jobs":[],"next_page_token":""}` {
			t.Errorf("%d %v %s", resp.StatusCode, resp.Header, got)
		}
	}
}
