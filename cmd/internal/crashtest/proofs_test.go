package crashtest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	// proofTime is how long replicas are proven to be equal under load; make soak takes
	// four times as long at least.
	proofTime = 15 * time.Second
	// killEvery is how often a node is killed meanwhile, trimEvery how often all logs
	// are trimmed.
	killEvery, trimEvery = 8 * time.Second, 5 * time.Second
)

// While writes go on, with kills, trims, and engines that differ from node to
// node, everything is checked again and again, by hand and by the cluster itself:
// nobody is ever blamed, since nothing is wrong. A node that is away makes a group
// unchecked, and nothing else.
func TestNoFalseMismatchUnderLoad(t *testing.T) {
	engines := []string{"shared", "boltdb", "shared"}
	r := newRig(t, plan{nodes: 3, devices: 40, rate: 150, args: []string{
		"--storage.anti-entropy.interval", "5s", "--storage.anti-entropy.scrub-interval", "1m"},
		argsOf: func(i int) []string { return []string{"--log-engine", engines[i]} }})
	r.resume()
	r.awaitAcks(200)
	r.awaitSettled()
	began, proofTime := time.Now(), proofTime
	if rounds(1) > 1 {
		proofTime *= 4
	}
	disasters := make(chan error, 1)
	flotilla := binary(t, "")
	go func() { disasters <- r.disasters(flotilla, began.Add(proofTime)) }() // ends with the time
	counts := make(map[string]int)
	for n := 0; time.Since(began) < proofTime; n++ {
		args := []string{"verify", "--all", "-o", "json"}
		switch n % 4 {
		case 1:
			args = append(args, "--deep")
		case 2:
			args = append(args, "--mode", "verify")
		}
		counts[r.proves(args)]++
	}
	must(t, <-disasters)
	r.start()
	r.awaitSettled()
	r.verify()
	if out, code := r.flotilla("verify", "--all", "--deep"); code != 0 {
		t.Errorf("verify --deep at the end: exit code %d\n%s", code, out)
	}
	r.check("at the end")
	var made float64
	for _, p := range r.Processes {
		m := metricsOf(t, p)
		made += m["flotilla_checks_total"]
		if m["flotilla_check_mismatches_total"] > 0 || m["flotilla_scrub_bad_total"] > 0 {
			t.Errorf("%s has found something: %v", p.Name, m)
		}
		r.noFindings(p)
	}
	t.Logf("%v; %v checks by nodes that run", counts, made)
	if counts["equal"] < 5 || made < 50 {
		t.Errorf("too few to show anything: %v, %v", counts, made)
	}
}

// disasters kills one node after the other and trims all logs, until some time.
func (r *rig) disasters(flotilla string, end time.Time) error {
	killAt, trimAt := time.Now().Add(killEvery/2), time.Now().Add(trimEvery)
	for victim := 0; time.Now().Before(end); time.Sleep(poll) {
		if now := time.Now(); now.After(trimAt) {
			trimAt = now.Add(trimEvery)
			if _, _, err := r.command(flotilla, "group", "trim", "--all"); err != nil { // what cannot be trimmed now is trimmed later
				return err
			}
		}
		if now := time.Now(); now.After(killAt) && now.Before(end.Add(-killEvery/2)) {
			killAt = now.Add(killEvery)
			p := r.Processes[victim%3]
			victim++
			if err := p.Kill(); err != nil {
				return err
			}
			time.Sleep(time.Second) // it is away for a while
			if err := p.Start(); err != nil {
				return err
			}
		}
	}
	return nil
}

// proves runs one check and says what came of it; it must find nothing.
func (r *rig) proves(args []string) string {
	r.t.Helper()
	out, code := r.flotilla(args...)
	var result api.VerifyResult
	answer := string(out[max(strings.IndexByte(string(out), '{'), 0):]) // progress stands before it
	if err := json.NewDecoder(strings.NewReader(answer)).Decode(&result); err != nil {
		if code == 0 || code == 5 {
			r.t.Errorf("%v: exit code %d, %v\n%s", args, code, err, out)
		}
		return "exit code " + strconv.Itoa(code) // the node that was asked has died
	}
	if result.GroupsDamaged > 0 || len(result.Findings) > 0 || code == 5 {
		r.t.Errorf("%v: a false mismatch, exit code %d\n%s", args, code, out)
	}
	switch {
	case code == 0 && result.GroupsEqual == result.GroupsTotal:
		return "equal"
	case code == 6 && result.GroupsUnchecked > 0:
		return "unchecked"
	}
	return "exit code " + strconv.Itoa(code)
}

// noFindings makes sure that no finding and no repair was ever told of.
func (r *rig) noFindings(p *fleet.Process) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Second) // the stream has no end of its own
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.HTTPAddr+"/v1/admin/events", nil)
	must(r.t, err)
	answer, err := http.DefaultClient.Do(request)
	must(r.t, err)
	defer answer.Body.Close()
	seen := 0
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		var e api.Event
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || json.Unmarshal([]byte(data), &e) != nil {
			continue
		}
		if seen++; e.Kind == api.EventFinding || e.Kind == api.EventRepair {
			r.t.Errorf("%s: %+v", p.Name, e)
		}
	}
	if seen == 0 {
		r.t.Errorf("%s tells of no events", p.Name)
	}
}

// metricsOf reads the numbers of a node, without labels.
func metricsOf(t *testing.T, p *fleet.Process) map[string]float64 {
	t.Helper()
	answer, err := http.Get("http://" + p.HTTPAddr + "/metrics")
	must(t, err)
	defer answer.Body.Close()
	all := make(map[string]float64)
	lines := bufio.NewScanner(io.LimitReader(answer.Body, 16<<20))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && strings.HasPrefix(name, "flotilla_") {
			all[name] += v
		}
	}
	must(t, lines.Err())
	return all
}
