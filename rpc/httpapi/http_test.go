package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/httpapi"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

type fakeNode struct{ missing []string }

func (n *fakeNode) Ready() (bool, []string, int) { return len(n.missing) == 0, n.missing, 3 }
func (n *fakeNode) Config() any                  { return map[string]string{"cluster_key": "***"} }
func (n *fakeNode) Settings(context.Context) ([]api.Setting, error) {
	return []api.Setting{{Key: "write_timeout", Value: "5s"}}, nil
}
func (n *fakeNode) SetSetting(_ context.Context, key, value string) (api.Setting, error) {
	return api.Setting{Key: key, Value: value}, nil
}

type rig struct {
	*fakecluster.Cluster
	t    *testing.T
	node *fakeNode
	urls []string // of each node
	http *http.Client
}

func start(t *testing.T, o fakecluster.Options) *rig {
	t.Helper()
	r := &rig{Cluster: fakecluster.New(t, o), t: t, node: &fakeNode{}, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	for _, n := range r.Nodes {
		s := httptest.NewServer(httpapi.New(httpapi.Config{Gateway: n.Gateway, Node: r.node, Version: api.Version{Version: "v1"}}))
		t.Cleanup(s.Close)
		r.urls = append(r.urls, s.URL)
	}
	return r
}

// do sends a request to node i and gives status, headers and body.
func (r *rig) do(i int, method, path, body string, header ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.urls[i]+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for k := 0; k+1 < len(header); k += 2 {
		req.Header.Set(header[k], header[k+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(b)
}

// want checks status and body of a request.
func (r *rig) want(i int, method, path, body string, status int, reply string) {
	r.t.Helper()
	resp, got := r.do(i, method, path, body)
	if resp.StatusCode != status || strings.TrimSpace(got) != reply {
		r.t.Errorf("%s %s: %d %s\nwant %d %s", method, path, resp.StatusCode, got, status, reply)
	}
}

// problem checks that a request is answered by a whole problem document.
func (r *rig) problem(method, path, body string, code api.Code, header ...string) map[string]any {
	r.t.Helper()
	resp, got := r.do(0, method, path, body, header...)
	var p map[string]any
	if err := json.Unmarshal([]byte(got), &p); err != nil {
		r.t.Errorf("%s %s: %d, no JSON: %s", method, path, resp.StatusCode, got)
		return nil
	}
	if p["code"] != string(code) || resp.StatusCode != code.Status() || p["status"] != float64(code.Status()) ||
		resp.Header.Get("Content-Type") != "application/problem+json" {
		r.t.Errorf("%s %s: %d %s, want code %s", method, path, resp.StatusCode, got, code)
	}
	for _, field := range []string{"type", "title", "status", "detail", "code", "hint"} {
		if _, ok := p[field]; !ok || p[field] == "" && field != "hint" {
			r.t.Errorf("%s %s: field %q is missing: %s", method, path, field, got)
		}
	}
	if strings.Contains(got, "Go struct") || strings.Contains(got, "httpapi.") || strings.Contains(got, `\u003c`) {
		r.t.Errorf("%s %s: the text is not for users: %s", method, path, got)
	}
	if strings.Contains(got, "\n\n") {
		r.t.Errorf("%s %s: not one line", method, path)
	}
	return p
}

const base = "/v1/databases/d/collections/c"

func TestWriteAndQueryKeepTypes(t *testing.T) {
	r := start(t, fakecluster.Options{})
	r.want(0, "POST", base+"/write", `{"id":"a","time":"2026-01-02T03:04:05.100+01:00","f":1.5,"i":{"i":14},"u":{"u":18446744073709551615},"b":true,"s":"é\"","$id":"x"}`, 200, `{"written":1}`)
	r.want(1, "POST", base+"/write/batch", `{"points":[{"id":"a","time":0,"f":1e300},{"id":"b,c","time":-1,"f":-0.5}]}`, 200, `{"written":2}`)
	r.want(2, "GET", base+"/query?ids=a", "", 200,
		`{"results":[{"id":"a","times":["1970-01-01T00:00:00Z","2026-01-02T02:04:05.1Z"],"b":[null,true],"f":[1e+300,1.5],"i":[null,{"i":14}],"$id":[null,"x"],"s":[null,"é\""],"u":[null,{"u":18446744073709551615}]}]}`)
	both := `{"results":[{"id":"b,c","times":["1969-12-31T23:59:59.999999999Z"],"f":[-0.5]},{"id":"a","times":["1970-01-01T00:00:00Z"],"f":[1e+300]}]}`
	window := "&end_time=1970-01-02T00:00:00Z&fields=f"
	r.want(0, "GET", base+`/query?ids=b\,c,a`+window, "", 200, both)
	r.want(1, "GET", base+`/query?ids=b\,c&ids=a`+window, "", 200, both)
	r.want(2, "GET", base+`/query?ids=`+url.QueryEscape(`["b,c","a"]`)+window, "", 200, both)
	r.want(0, "POST", base+"/query", `{"ids":["b,c","a"],"end_time":86400000000000,"fields":["f"]}`, 200, both)
	r.want(0, "POST", base+"/query", `{"ids":"b\\,c,a","end_time":"1970-01-02T00:00:00Z","fields":"f"}`, 200, both)
	r.want(0, "GET", base+"/query?ids=nobody", "", 200, `{"results":[]}`)
	r.want(0, "GET", base+"/query?ids=a&order=desc&limit=1&fields=f", "", 200, `{"results":[{"id":"a","times":["2026-01-02T02:04:05.1Z"],"f":[1.5]}]}`)
	r.want(0, "GET", base+"/query?ids=a&aggregation=count&interval=1d&fields=f", "", 200,
		`{"results":[{"id":"a","times":["1970-01-01T00:00:00Z","2026-01-02T00:00:00Z"],"f":[1,1]}]}`)
	// start inclusive, end exclusive
	r.want(0, "GET", base+"/query?ids=a&start_time=0&end_time=0", "", 200, `{"results":[]}`)
	r.want(0, "GET", base+"/query?ids=a&start_time=0&end_time=1&fields=f", "", 200, `{"results":[{"id":"a","times":["1970-01-01T00:00:00Z"],"f":[1e+300]}]}`)
}

func TestStampedPointsAreReported(t *testing.T) {
	r := start(t, fakecluster.Options{Now: func() (time.Time, error) { return time.Unix(10, 0), nil }})
	r.want(0, "POST", base+"/write/batch", `{"points":[{"id":"a","time":1,"f":1},{"id":"a","f":1}]}`, 200, `{"written":2,"stamped":[{"index":1,"time":"1970-01-01T00:00:10Z"}]}`)
	r.OnPropose(func(string, uint32) error { return fakecluster.ErrAppliedUnknown })
	p := r.problem("POST", base+"/write", `{"id":"a","f":1}`, api.OutcomeUnknown)
	if p["stamped"] == nil || p["group"] == nil {
		t.Errorf("an unknown write must return its stamps and group: %v", p)
	}
}

func TestStreamingFormats(t *testing.T) {
	r := start(t, fakecluster.Options{})
	r.want(0, "POST", base+"/write/batch", `{"points":[{"id":"a","time":1,"f":1.5,"i":{"i":2}},{"id":"a","time":2,"s":"x,\"y\""},{"id":"b","time":3,"id2":true}]}`, 200, `{"written":3}`)
	resp, got := r.do(1, "GET", base+"/query", "", "Accept", "application/x-ndjson")
	want := `{"id":"a","time":"1970-01-01T00:00:00.000000001Z","f":1.5,"i":{"i":2}}
{"id":"a","time":"1970-01-01T00:00:00.000000002Z","s":"x,\"y\""}
{"id":"b","time":"1970-01-01T00:00:00.000000003Z","id2":true}
`
	if got != want || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("ndjson %s:\n%s", resp.Header.Get("Content-Type"), got)
	}
	resp, got = r.do(2, "GET", base+"/query", "", "Accept", "text/csv")
	want = `id,time,f,i,id2,s
a,1970-01-01T00:00:00.000000001Z,1.5,2,,
a,1970-01-01T00:00:00.000000002Z,,,,"x,""y"""
b,1970-01-01T00:00:00.000000003Z,,,true,
`
	if got != want || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/csv") {
		t.Errorf("csv %s:\n%s", resp.Header.Get("Content-Type"), got)
	}
	_, got = r.do(0, "GET", base+"/query?fields=s,f", "", "Accept", "text/csv;q=1")
	if !strings.HasPrefix(got, "id,time,s,f\n") {
		t.Errorf("csv of named fields:\n%s", got)
	}
	r.problem("GET", base+"/query", "", api.NotAcceptable, "Accept", "image/png")
	r.want(0, "POST", "/v1/databases/d/collections/odd/write", `{"id":"a","time":1,"$id":"x","$time":2}`, 200, `{"written":1}`)
	_, got = r.do(0, "GET", "/v1/databases/d/collections/odd/query", "", "Accept", "text/csv")
	if want = "id,time,$id,$time\na,1970-01-01T00:00:00.000000001Z,x,2\n"; got != want {
		t.Errorf("csv of fields called id and time:\n%s", got)
	}
	in, err := lineproto.Open(strings.NewReader(got), lineproto.Options{Format: lineproto.FormatCSV, Database: "d", Collection: "odd"})
	if err != nil {
		t.Fatal(err)
	}
	if back, err := in.Read(); err != nil || back.Point.Fields[0].Name != "id" || back.Point.Fields[1].Name != "time" {
		t.Errorf("read back: %+v %v", back, err)
	}
}

func TestWrongInputIsAProblemWithAHint(t *testing.T) {
	r := start(t, fakecluster.Options{})
	p := r.problem("GET", base+"/query?start=1", "", api.InvalidArgument)
	if hint, _ := p["hint"].(string); !strings.Contains(hint, "start_time") {
		t.Errorf("hint %q", hint)
	}
	for _, bad := range []struct {
		method, path, body string
		code               api.Code
	}{
		{"GET", "/nope", "", api.NotFound},
		{"GET", "/v1/admin/nope", "", api.NotFound},
		{"PUT", "/v1/admin/groups", "", api.MethodNotAllowed},
		{"GET", base + "/write", "", api.MethodNotAllowed},
		{"GET", base + "/query?limit=0", "", api.InvalidArgument},
		{"GET", base + "/query?limit=x", "", api.InvalidArgument},
		{"GET", base + "/query?limit=1&limit=2", "", api.InvalidArgument},
		{"GET", base + "/query?order=up", "", api.InvalidArgument},
		{"GET", base + "/query?interval=1h", "", api.InvalidArgument},
		{"GET", base + "/query?interval=-1h&aggregation=mean", "", api.InvalidArgument},
		{"GET", base + "/query?aggregation=median", "", api.InvalidArgument},
		{"GET", base + "/query?consistency=eventual", "", api.InvalidArgument},
		{"GET", base + "/query?start_time=yesterday", "", api.InvalidArgument},
		{"GET", base + "/query?ids=a,,b", "", api.InvalidArgument},
		{"GET", base + "/query?%zz", "", api.InvalidArgument},
		{"POST", base + "/query", `{"id":"a"}`, api.InvalidArgument},
		{"POST", base + "/query", `[]`, api.InvalidArgument},
		{"POST", base + "/query?limit=1", `{"limit":2}`, api.InvalidArgument},
		{"POST", base + "/query", `{"limit":[1]}`, api.InvalidArgument},
		{"GET", "/v1/databases/nope/collections/c/query", "", api.DatabaseNotFound},
		{"GET", "/v1/databases/d%20d/collections/c/query", "", api.InvalidArgument},
		{"POST", base + "/write", `{"id":"a"}`, api.InvalidPoints},
		{"POST", base + "/write", `{"id":"a","f":NaN}`, api.InvalidPoints},
		{"POST", base + "/write", ``, api.InvalidPoints},
		{"POST", base + "/write?precision=ns", `{"id":"a","f":1}`, api.InvalidArgument},
		{"POST", base + "/write/batch", `{"points":[{"id":"a","f":1},{"id":"","f":1}]}`, api.InvalidPoints},
		{"POST", "/v1/databases/d/collections/" + strings.Repeat("c", 65) + "/write", `{"id":"a","f":1}`, api.InvalidArgument},
		{"POST", base + "/write", strings.Repeat(" ", 8<<20) + `{"id":"a","f":1}`, api.TooLarge},
		{"POST", "/v1/databases", `{"name":"x","retain":"1d"}`, api.InvalidArgument},
		{"POST", "/v1/databases", `{"name":"x"} {}`, api.InvalidArgument},
		{"POST", "/v1/databases", `{"name":""}`, api.InvalidArgument},
		{"POST", "/v1/databases", `{"name":"x","retention":"soon"}`, api.InvalidArgument},
		{"GET", "/v1/databases/nope", "", api.DatabaseNotFound},
		{"GET", "/v1/databases/nope/collections", "", api.DatabaseNotFound},
		{"GET", base, "", api.CollectionNotFound},
		{"DELETE", "/v1/databases/nope", "", api.DatabaseNotFound},
		{"DELETE", base + "/delete", "", api.ConfirmationNeeded},
		{"DELETE", base + "/delete?ids=a&start_time=2&end_time=1", "", api.InvalidArgument},
		{"GET", "/v1/admin/groups/x", "", api.InvalidArgument},
		{"GET", "/v1/admin/groups/999", "", api.GroupNotFound},
		{"GET", "/v1/admin/groups?state=bad", "", api.InvalidArgument},
		{"GET", "/v1/admin/groups?limit=10001", "", api.InvalidArgument},
		{"GET", "/v1/admin/groups?page_token=zzz", "", api.InvalidArgument},
		{"GET", "/v1/admin/groups?fields=all", "", api.InvalidArgument},
		{"GET", "/v1/admin/groups?node=n9", "", api.NodeNotFound},
		{"GET", "/v1/admin/nodes?state=asleep", "", api.InvalidArgument},
		{"POST", "/v1/databases", `{"name":5}`, api.InvalidArgument},
		{"POST", "/v1/databases", `["x"]`, api.InvalidArgument},
		{"GET", "/v1/admin/nodes/n9", "", api.NodeNotFound},
		{"GET", "/v1/admin/nodes/n9/groups", "", api.NodeNotFound},
		{"GET", "/v1/admin/jobs/none", "", api.JobNotFound},
		{"DELETE", "/v1/admin/jobs/none", "", api.JobNotFound},
		{"POST", "/v1/admin/groups/1/verify", `{"deep":"yes"}`, api.InvalidArgument},
		{"POST", "/v1/admin/groups/1/verify?dry_run=maybe", ``, api.InvalidArgument},
		{"POST", "/v1/admin/groups/1/trim?dry_run=", ``, api.InvalidArgument},
		{"POST", "/v1/admin/groups/1/trim?dryrun=true", ``, api.InvalidArgument},
		{"POST", "/v1/admin/groups/99/trim?dry_run=true", ``, api.GroupNotFound},
		{"POST", "/v1/admin/verify?dry_run=true", `{"mode":"fast"}`, api.InvalidArgument},
		{"POST", "/v1/admin/groups/1/step-down?dry_run=true&to=n9", ``, api.Conflict},
		{"POST", "/v1/admin/verify", `{"mode":"fast"}`, api.InvalidArgument},
		{"POST", "/v1/admin/verify", `{"groups":["a"]}`, api.InvalidArgument},
		{"POST", "/v1/admin/groups/1/step-down", `{"to":"n9"}`, api.Conflict},
		{"GET", "/v1/admin/devices/x/group", "", api.InvalidArgument},
		{"PUT", "/v1/admin/settings/write_timeout", `{}`, api.InvalidArgument},
	} {
		r.problem(bad.method, bad.path, bad.body, bad.code)
	}
	if resp, _ := r.do(0, "PATCH", "/v1/databases", ""); resp.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("Allow: %q", resp.Header.Get("Allow"))
	}
	if got := len(groupsOf(t, r)); got != 16 {
		t.Errorf("%d groups", got)
	}
	r.want(0, "GET", base+"/query", "", 200, `{"results":[]}`)
}

func groupsOf(t *testing.T, r *rig) []api.Group {
	t.Helper()
	_, got := r.do(0, "GET", "/admin/groups", "")
	var list api.GroupList
	if err := json.Unmarshal([]byte(got), &list); err != nil {
		t.Fatal(err)
	}
	return list.Groups
}

func TestCompressedBodiesAreBoundedByWhatTheyUnpackTo(t *testing.T) {
	r := start(t, fakecluster.Options{Nodes: 1})
	pack := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(s))
		_ = z.Close()
		return b.String()
	}
	if resp, got := r.do(0, "POST", base+"/write", pack(`{"id":"a","time":1,"f":1}`), "Content-Encoding", "gzip"); resp.StatusCode != 200 {
		t.Errorf("gzip: %d %s", resp.StatusCode, got)
	}
	r.problem("POST", base+"/write", pack(strings.Repeat(" ", 9<<20)), api.TooLarge, "Content-Encoding", "gzip")
	r.problem("POST", base+"/write", "x", api.InvalidArgument, "Content-Encoding", "gzip")
	r.problem("POST", base+"/write", "x", api.UnsupportedMedia, "Content-Encoding", "br")
}

func TestOutcomesOfWritesAsHTTPStatus(t *testing.T) {
	for _, tt := range []struct {
		err        error
		code       api.Code
		retryAfter bool
	}{
		{gateway.ErrBusy, api.Busy, true},
		{gateway.ErrNoSpace, api.NoSpace, false},
		{&gateway.NotLeaderError{}, api.NoLeader, true},
		{gateway.ErrUnknown, api.OutcomeUnknown, false},
	} {
		r := start(t, fakecluster.Options{Nodes: 1, WriteTimeout: 100 * time.Millisecond})
		r.OnPropose(func(string, uint32) error { return tt.err })
		r.problem("POST", base+"/write", `{"id":"a","time":1,"f":1}`, tt.code)
		resp, _ := r.do(0, "POST", base+"/write", `{"id":"a","time":1,"f":1}`)
		if got := resp.Header.Get("Retry-After") != ""; got != tt.retryAfter {
			t.Errorf("%s: Retry-After %v", tt.code, got)
		}
	}
}

func TestJobsOverHTTP(t *testing.T) {
	r := start(t, fakecluster.Options{})
	for _, path := range []string{"/v1/admin/verify", "/admin/groups/3/verify", "/v1/admin/groups/3/trim", "/v1/admin/trim", "/v1/admin/groups/3/step-down"} {
		resp, got := r.do(0, "POST", path, "")
		var job api.Job
		if err := json.Unmarshal([]byte(got), &job); err != nil || resp.StatusCode != 202 || resp.Header.Get("Location") != "/v1/admin/jobs/"+job.ID {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, got)
		}
		again := time.NewTicker(5 * time.Millisecond)
		for ; !job.Final(); <-again.C {
			_, got = r.do(1, "GET", "/v1/admin/jobs/"+job.ID, "")
			if err := json.Unmarshal([]byte(got), &job); err != nil {
				t.Fatal(err, got)
			}
		}
		again.Stop()
		if job.Status != api.StatusDone {
			t.Errorf("%s: %s", path, got)
		}
	}
	_, got := r.do(2, "GET", "/v1/admin/jobs?limit=2", "")
	var list api.JobList
	if err := json.Unmarshal([]byte(got), &list); err != nil || len(list.Jobs) != 2 || list.Jobs[0].Kind != api.JobStepDown || list.NextPageToken == "" {
		t.Errorf("jobs: %s", got)
	}
}

func TestTablesWithAndWithoutV1(t *testing.T) {
	r := start(t, fakecluster.Options{})
	for _, path := range []string{"groups", "groups/3", "nodes", "nodes/n2", "nodes/n2/groups", "jobs", "cluster", "version", "config", "settings", "devices/dev/group?db=d&collection=c"} {
		a, first := r.do(0, "GET", "/v1/admin/"+path, "")
		b, second := r.do(0, "GET", "/admin/"+path, "")
		if a.StatusCode != 200 || b.StatusCode != 200 || !json.Valid([]byte(first)) || len(first) != len(second) {
			t.Errorf("%s: %d %d\n%s\n%s", path, a.StatusCode, b.StatusCode, first, second)
		}
	}
	if got := len(groupsOf(t, r)); got != 16 {
		t.Errorf("%d groups", got)
	}
	_, got := r.do(0, "GET", "/v1/admin/groups?fields=grid", "")
	if !strings.Contains(got, `[0,0,0,0,3,3,0]`) || !strings.Contains(got, `"nodes":["n1","n2","n3"]`) {
		t.Errorf("grid %s", got)
	}
	_, got = r.do(0, "GET", "/v1/admin/config", "")
	if !strings.Contains(got, "***") {
		t.Errorf("config %s", got)
	}
	resp, got := r.do(0, "HEAD", "/v1/admin/version", "")
	if resp.StatusCode != 200 || got != "" {
		t.Errorf("HEAD: %d %q", resp.StatusCode, got)
	}
	_, got = r.do(0, "GET", base+"/device/a%2Fb/group", "")
	if !strings.Contains(got, `"hash_input":"d:c:a/b"`) {
		t.Errorf("a device with a slash: %s", got)
	}
}

func TestReadiness(t *testing.T) {
	r := start(t, fakecluster.Options{Nodes: 1})
	r.want(0, "GET", "/readyz", "", 200, `{"status":"ready","syncing":3}`)
	r.node.missing = []string{"group 7 knows no leader"}
	p := r.problem("GET", "/readyz", "", api.NotReady)
	if fmt.Sprint(p["missing"]) != "[group 7 knows no leader]" {
		t.Errorf("missing: %v", p["missing"])
	}
	r.want(0, "GET", "/healthz", "", 200, `{"status":"ok","syncing":0}`)
	r.want(0, "GET", "/livez", "", 200, `{"status":"ok","syncing":0}`)
}

// I10: a client can tell an answer that broke off from a whole one.
func TestI10AnswerThatBreaksOffIsNotWhole(t *testing.T) {
	r := start(t, fakecluster.Options{WriteTimeout: 300 * time.Millisecond})
	g := r.Nodes[0].Gateway
	for i := range 8 {
		var batch []storage.Point
		for k := range 10_000 {
			batch = append(batch, storage.Point{Series: storage.Series{Database: "d", Collection: "c", Device: fmt.Sprint("dev-", i*7%5, i)}, Time: int64(k),
				Fields: []storage.Field{{Name: "v", Value: blocks.Float(float64(k) / 3)}, {Name: "w", Value: blocks.Text(strings.Repeat("x", 60))}}})
		}
		if _, err := g.Write(t.Context(), batch, 0); err != nil {
			t.Fatal(err)
		}
	}
	lost := ""
	for group := uint32(15); group > 0; group-- { // the last group that has data and is read last
		if r.Proposals(group) > 0 && r.Leader(group) != "n1" {
			lost = r.Leader(group)
			r.SetLeader(group, "")
			break
		}
	}
	if lost == "" {
		t.Fatal("all data on n1")
	}
	for _, accept := range []string{"application/json", "application/x-ndjson", "text/csv"} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", r.urls[0]+base+"/query?fields=v,w", nil)
		req.Header.Set("Accept", accept)
		resp, err := r.http.Do(req)
		if err != nil {
			continue // broke before the headers were read: nobody takes it for whole
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == 200 && err == nil {
			t.Errorf("%s: an answer without a group ended well, %d bytes", accept, len(body))
		}
		if accept == "application/x-ndjson" && resp.StatusCode == 200 && !bytes.Contains(body, []byte(`{"error":{`)) {
			t.Errorf("no error line at the end of ndjson")
		}
	}
}

func TestCSVOfALargeAnswerHasOneHeader(t *testing.T) {
	r := start(t, fakecluster.Options{})
	for i := range 40 {
		var batch []storage.Point
		for k := range 10_000 {
			p := storage.Point{Series: storage.Series{Database: "d", Collection: "c", Device: fmt.Sprint("dev-", i)}, Time: int64(k),
				Fields: []storage.Field{{Name: "v", Value: blocks.Float(1)}}}
			if i == 39 && k == 9_999 {
				p.Fields[0].Name = "late"
			}
			batch = append(batch, p)
		}
		if _, err := r.Nodes[0].Gateway.Write(t.Context(), batch, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, got := r.do(1, "GET", base+"/query", "", "Accept", "text/csv")
	records := csv.NewReader(strings.NewReader(got))
	rows := 0
	for {
		rec, err := records.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if rows == 0 && strings.Join(rec, ",") != "id,time,late,v" {
			t.Fatalf("header %v", rec)
		}
		rows++
	}
	if rows != 400_001 {
		t.Fatalf("%d rows", rows)
	}
}
