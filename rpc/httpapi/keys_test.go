package httpapi_test

import (
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

// A key that is given twice, or in another case, is refused: which of two was meant is not guessed.
func TestKeysOfABodyAreExactAndGivenOnce(t *testing.T) {
	r := start(t, fakecluster.Options{})
	for _, test := range []struct{ method, path, body, want string }{
		{"POST", "/v1/databases", `{"name":"a","retention":"1d","name":"b"}`, `key "name" is given twice`},
		{"POST", "/v1/databases", `{"Name":"a"}`, `key "Name" is not known`},
		{"POST", "/v1/admin/verify", `{"repair":false,"repair":true}`, `key "repair" is given twice`},
		{"POST", "/v1/admin/groups/1/trim", `{"groups":[1]}`, `key "groups" is not known`},
		{"PUT", "/v1/admin/settings/replication.factor", `{"value":"3","VALUE":"5"}`, `key "VALUE" is not known`},
		{"POST", base + "/query", `{"limit":1,"limit":2}`, `key "limit" is given twice`},
		{"POST", base + "/query", `{"Limit":1}`, `key "Limit" is not known`},
		{"POST", base + "/query", `[1]`, "the body is a JSON array, no object"},
	} {
		p := r.problem(test.method, test.path, test.body, api.InvalidArgument)
		if detail, _ := p["detail"].(string); !strings.Contains(detail, test.want) {
			t.Errorf("%s %s: %q, want %q", test.path, test.body, detail, test.want)
		}
	}
	for _, name := range []string{"a", "b"} {
		r.problem("GET", "/v1/databases/"+name, "", api.DatabaseNotFound)
	}
}

// Who names devices in the body of a DELETE means these, and not the whole collection.
func TestBodyThatIsNotReadIsRefused(t *testing.T) {
	r := start(t, fakecluster.Options{})
	r.want(0, "POST", base+"/write", `{"id":"a","time":1,"v":1}`, 200, `{"written":1}`)
	const all = `{"results":[{"id":"a","times":["1970-01-01T00:00:00.000000001Z"],"v":[1]}]}`
	for _, test := range []struct{ method, path string }{
		{"DELETE", base}, {"DELETE", base + "/delete?ids=a"}, {"DELETE", "/v1/databases/d"}, {"DELETE", "/v1/admin/jobs/x"},
		{"GET", base + "/query"}, {"GET", "/v1/admin/groups"},
	} {
		p := r.problem(test.method, test.path, `{"ids":["b"]}`, api.InvalidArgument)
		if detail, _ := p["detail"].(string); !strings.Contains(detail, "takes no body") {
			t.Errorf("%s %s: %q", test.method, test.path, detail)
		}
		r.want(0, "GET", base+"/query", " {} ", 200, all)
	}
	r.want(0, "DELETE", base+"/delete?ids=a", "{}", 200, `{"groups":1}`)
}
