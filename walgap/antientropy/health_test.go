package antientropy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// well is a cluster of three nodes in which nothing is wrong.
func well() ([]GroupHealth, []NodeHealth) {
	var groups []GroupHealth
	for g := range uint32(20) {
		h := GroupHealth{Group: g, Led: true, Proof: epoch.Add(-time.Hour), Scrub: epoch.Add(-20 * time.Hour), Created: epoch.Add(-100 * time.Hour)}
		for _, n := range []string{"n1", "n2", "n3"} {
			h.Replicas = append(h.Replicas, ReplicaHealth{Node: n, State: "ready", Voter: true})
		}
		groups = append(groups, h)
	}
	return groups, []NodeHealth{{"n1", "up"}, {"n2", "up"}, {"n3", "up"}}
}

func TestAssess(t *testing.T) {
	for name, c := range map[string]struct {
		change func(g []GroupHealth, n []NodeHealth)
		level  Level
		text   string // how the lines begin, the first of them first
	}{
		"well":        {func([]GroupHealth, []NodeHealth) {}, OK, "ok: 20 groups on 3 nodes, all replicas ready, proofs and scrubs in time"},
		"leaderless":  {func(g []GroupHealth, _ []NodeHealth) { g[3].Led = false }, Critical, "critical: 1 group without a leader: 3"},
		"node down":   {func(_ []GroupHealth, n []NodeHealth) { n[2].State = "down" }, Warning, "warning: 1 node not up: n3"},
		"drained":     {func(_ []GroupHealth, n []NodeHealth) { n[2].State = "drained" }, OK, "ok: 20"},
		"suspect":     {func(g []GroupHealth, _ []NodeHealth) { g[3].Replicas[1].State = "suspect" }, Warning, "warning: 1 group with replicas suspect: a repair is due on n2: 3"},
		"quarantined": {func(g []GroupHealth, _ []NodeHealth) { g[3].Replicas[1].State = "quarantined" }, Warning, "warning: 1 group with replicas quarantined"},
		"disputed": {func(g []GroupHealth, _ []NodeHealth) {
			for i := range 3 {
				g[3].Replicas[i].State = "disputed"
			}
		}, Critical, "critical: 1 group with replicas disputed: no majority can say who is wrong on n1, n2, n3: 3"},
		"no replica can lead": {func(g []GroupHealth, _ []NodeHealth) {
			g[3].Led, g[3].Replicas = false, []ReplicaHealth{{Node: "n1", State: "quarantined", Voter: true}}
			g[4].Led, g[4].Replicas = false, []ReplicaHealth{{Node: "n2", State: "syncing"}, {Node: "n3", State: "quarantined", Voter: true}}
		}, Critical, "critical: 2 groups without a leader: 3, 4, critical: 2 groups with no replica left that could lead: put data back from a backup (`flotilla group ID` says more): 3, 4"},
		"one may come back": {func(g []GroupHealth, _ []NodeHealth) {
			g[3].Led, g[3].Replicas = false, []ReplicaHealth{{Node: "n1", State: "quarantined", Voter: true}, {Node: "n2", State: "offline", Voter: true}}
		}, Critical, "critical: 1 group without a leader: 3, critical: 1 group with less than a majority of ready voters: 3, warning: "},
		"offline": {func(g []GroupHealth, _ []NodeHealth) {
			for i := range g {
				g[i].Replicas[2].State = "offline"
			}
		}, Warning, "warning: 20 groups with replicas offline on n3: 0, 1, 2, 3, 4, 5, 6, 7, and 12 more"},
		"no majority": {func(g []GroupHealth, _ []NodeHealth) {
			g[9].Replicas[2].State, g[9].Replicas[1].State = "offline", "syncing"
		}, Critical, "critical: 1 group with less than a majority of ready voters: 9"},
		"a state of the future": {func(g []GroupHealth, _ []NodeHealth) { g[9].Replicas[2].State = "molten" }, Warning, "warning: 1 group with replicas offline"},
		"old proof":             {func(g []GroupHealth, _ []NodeHealth) { g[4].Proof = epoch.Add(-121 * time.Minute) }, Warning, "warning: 1 group not proven equal for too long: 4"},
		"not too old":           {func(g []GroupHealth, _ []NodeHealth) { g[4].Proof = epoch.Add(-119 * time.Minute) }, OK, "ok"},
		"very old proof":        {func(g []GroupHealth, _ []NodeHealth) { g[4].Proof = epoch.Add(-7 * time.Hour) }, Critical, "critical: 1 group not proven"},
		"never proven":          {func(g []GroupHealth, _ []NodeHealth) { g[4].Proof = time.Time{} }, Critical, "critical: 1 group not proven"},
		"a new group": {func(g []GroupHealth, _ []NodeHealth) {
			g[4].Proof, g[4].Scrub, g[4].Created = time.Time{}, time.Time{}, epoch.Add(-time.Minute)
		}, OK, "ok"},
		"old scrub":      {func(g []GroupHealth, _ []NodeHealth) { g[4].Scrub = epoch.Add(-49 * time.Hour) }, Warning, "warning: 1 group not read again"},
		"very old scrub": {func(g []GroupHealth, _ []NodeHealth) { g[4].Scrub = epoch.Add(-145 * time.Hour) }, Critical, "critical: 1 group not read again"},
	} {
		groups, nodes := well()
		c.change(groups, nodes)
		a := Assess(epoch, hourly, groups, nodes)
		lines := make([]string, len(a.Lines))
		for i, l := range a.Lines {
			lines[i] = l.String()
		}
		if a.Level != c.level || !strings.HasPrefix(strings.Join(lines, ", "), c.text) {
			t.Errorf("%s: %s, %q", name, a.Level, a.Lines)
		}
		if !slices.IsSortedFunc(a.Lines, func(a, b HealthLine) int { return int(b.Level) - int(a.Level) }) {
			t.Errorf("%s: %v", name, a.Lines)
		}
	}
}

func TestAssessWithoutChecks(t *testing.T) {
	groups, nodes := well()
	for i := range groups {
		groups[i].Proof, groups[i].Scrub = time.Time{}, time.Time{}
	}
	if a := Assess(epoch, Settings{Interval: time.Hour}, groups, nodes); a.Level != OK || strings.Contains(a.Lines[0].Text, "in time") {
		t.Errorf("%v", a)
	}
	if a := Assess(epoch, hourly, nil, nil); a.Level != Unknown {
		t.Errorf("%v", a)
	}
	if a := Assess(epoch, hourly, nil, nodes); a.Level != OK {
		t.Errorf("%v", a)
	}
}
