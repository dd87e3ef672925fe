package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// healthNode answers the tables that a check reads.
func healthNode(t *testing.T, replica api.Replica, node string, proof time.Time) *httptest.Server {
	t.Helper()
	leader := "n1"
	group := func(id uint32, r api.Replica) api.Group {
		return api.Group{GroupID: id, State: "active", PrimaryNode: "n1", ReplicaNodes: []string{"n2"}, Leader: &leader, LastProofAt: api.At(proof), LastScrubAt: api.At(proof),
			Replicas: []api.Replica{{Node: "n1", Role: api.RoleLeader, State: api.ReplicaReady}, r}, UpdatedAt: api.At(proof)}
	}
	ready := api.Replica{Node: "n2", Role: api.RoleFollower, State: api.ReplicaReady}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch r.URL.Path {
		case "/v1/admin/groups":
			answer = api.GroupList{Groups: []api.Group{group(7, ready), group(42, replica)}}
		case "/v1/admin/nodes":
			answer = api.NodeList{Nodes: []api.Node{{Name: "n1", State: "up"}, {Name: "n2", State: node}}}
		case "/v1/admin/settings":
			answer = api.SettingList{Settings: []api.Setting{{Key: "storage.anti_entropy.enabled", Value: "true"},
				{Key: "storage.anti_entropy.interval", Value: "1h"}, {Key: "storage.anti_entropy.scrub_interval", Value: "24h"}, {Key: "storage.anti_entropy.rate", Value: "0B"}}}
		default:
			t.Errorf("asked for %s", r.URL.Path)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s
}

// runCheck gives the exit code and what was printed.
func runCheck(t *testing.T, s *httptest.Server, words ...string) (int, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), append([]string{"check", "--addr", s.URL}, words...), streams{in: strings.NewReader(""), out: &out, err: &errs})
	if errs.Len() > 0 {
		t.Errorf("check %v says on stderr: %s", words, &errs)
	}
	return code, out.String()
}

func TestCheckTurnsTablesIntoAnExitCode(t *testing.T) {
	ready := api.Replica{Node: "n2", Role: api.RoleFollower, State: api.ReplicaReady}
	disputed := api.Replica{Node: "n2", Role: api.RoleFollower, State: api.ReplicaDisputed, Why: "no | majority\nat all"}
	now := time.Now()
	for name, c := range map[string]struct {
		s      *httptest.Server
		code   int
		status string
	}{
		"AllIsWell":  {healthNode(t, ready, "up", now), 0, "ok"},
		"NodeIsDown": {healthNode(t, ready, "down", now), 1, "warning"},
		"Disputed":   {healthNode(t, disputed, "up", now), 2, "critical"},
		"ProofIsOld": {healthNode(t, ready, "up", now.Add(-90*24*time.Hour)), 2, "critical"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := runCheck(t, c.s, "--format", "json")
			var r checkResult
			if err := json.Unmarshal([]byte(out), &r); err != nil || r.Status != c.status || r.ExitCode != c.code || code != c.code || len(r.Checks) == 0 {
				t.Errorf("exit code %d, %v: %s", code, err, out)
			}
			code, out = runCheck(t, c.s, "--format", "nagios")
			line, _, _ := strings.Cut(out, "\n")
			if code != c.code || !strings.HasPrefix(line, "FLOTILLA "+strings.ToUpper(c.status)+" - ") || strings.Count(line, "|") != 1 || !strings.Contains(line, " groups=2 ") {
				t.Errorf("exit code %d: %s", code, out)
			}
			code, out = runCheck(t, c.s, "--format", "prometheus")
			if code != c.code || !strings.Contains(out, "\nflotilla_check_status "+string(rune('0'+c.code))+"\n") || !strings.Contains(out, "\nflotilla_check_nodes 2\n") ||
				!strings.Contains(out, "\nflotilla_check_oldest_proof_age_seconds ") || !strings.Contains(out, "\nflotilla_check_level{check=") {
				t.Errorf("exit code %d: %s", code, out)
			}
			code, out = runCheck(t, c.s)
			if code != c.code || !strings.Contains(out, "\n"+c.status+": ") {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
}

// A node that cannot be asked is unknown, never ok, in the format that was asked for.
func TestCheckOfNobodyIsUnknown(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	for format, want := range map[string]string{"text": "unknown: ", "nagios": "FLOTILLA UNKNOWN - ", "json": `"status":"unknown","exit_code":3`, "prometheus": "flotilla_check_status 3"} {
		if code, out := runCheck(t, s, "--format", format, "--timeout", "5s"); code != 3 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d: %s", format, code, out)
		}
	}
}
