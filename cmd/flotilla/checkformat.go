package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// printCheck writes the result. --format decides; without it, -o does as everywhere.
func (s *session) printCheck(format string, r *checkResult, now time.Time) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return err
	}
	switch format {
	case checkJSON:
		return s.print.json(b.Bytes())
	case checkNagios:
		_, err := io.WriteString(s.print.w, nagiosOf(r, now))
		return err
	case checkPrometheus:
		_, err := io.WriteString(s.print.w, prometheusOf(r, now))
		return err
	}
	return s.print.print(b.Bytes(), func() (*table, error) { return checkTable(r), nil })
}

func checkTable(r *checkResult) *table {
	t := &table{verdict: r.Status + ": " + r.Summary, columns: []column{
		{heading: "STATUS", colours: levelColours}, {heading: "CHECK"}, {heading: "WHAT"}, {heading: "NODES"}, {heading: "GROUPS"}}}
	for _, l := range r.Checks {
		t.add(l.Status, l.Check, l.Text, textCell(strings.Join(l.Nodes, ",")), groupsCell(l.Groups))
	}
	return t
}

var levelColours = colourMap{"ok": green, "warning": yellow, "critical": red, "unknown": red}

// shownGroups bounds the groups that a line of text names.
const shownGroups = 8

func groupsCell(groups []uint32) string {
	if len(groups) == 0 {
		return absent
	}
	var b strings.Builder
	for i, g := range groups[:min(len(groups), shownGroups)] {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, g)
	}
	if more := len(groups) - shownGroups; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// nagiosOf is what plugins for Nagios and its kin print: one line with figures behind a bar, then what is not well.
func nagiosOf(r *checkResult, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "FLOTILLA %s - %s", strings.ToUpper(r.Status), oneLine(r.Summary))
	first := true
	for _, l := range r.Checks {
		if l.Status != levelNames[0] && l.Text != r.Summary {
			if first {
				fmt.Fprintf(&b, "; %s: %s", l.Check, oneLine(l.Text))
			}
			first = false
		}
	}
	fmt.Fprintf(&b, " | groups=%d healthy=%d nodes=%d up=%d", r.GroupsTotal, r.GroupsHealthy, r.NodesTotal, r.NodesUp)
	for _, age := range ages(r, now) {
		fmt.Fprintf(&b, " %s=%.0fs", age.name, age.seconds)
	}
	b.WriteByte('\n')
	for _, l := range r.Checks {
		fmt.Fprintf(&b, "%s %s: %s\n", strings.ToUpper(l.Status), l.Check, oneLine(l.Text))
	}
	return b.String()
}

// oneLine keeps what a node wrote from ending the line, and from beginning the figures.
func oneLine(text string) string {
	return strings.ReplaceAll(newCell(text).text, "|", "/")
}

type age struct {
	name    string
	seconds float64
}

// ages are those that are known.
func ages(r *checkResult, now time.Time) (all []age) {
	for _, a := range []struct {
		name string
		at   api.Time
	}{{"oldest_proof_age", r.OldestProofAt}, {"oldest_scrub_age", r.OldestScrubAt}} {
		if !a.at.IsZero() {
			all = append(all, age{a.name, max(now.Sub(a.at.Time), 0).Seconds()})
		}
	}
	return all
}

// prometheusOf is for the textfile collector of node_exporter and its kin: the verdict, whose parts /metrics of each node
// has in detail.
func prometheusOf(r *checkResult, now time.Time) string {
	var b strings.Builder
	figure := func(name, help string, v float64) {
		fmt.Fprintf(&b, "# HELP flotilla_check_%s %s\n# TYPE flotilla_check_%s gauge\nflotilla_check_%s %v\n", name, help, name, name, v)
	}
	figure("status", "Verdict over the cluster: 0 ok, 1 warning, 2 critical, 3 unknown.", float64(r.ExitCode))
	if r.ExitCode != 3 || r.NodesTotal > 0 {
		figure("groups", "Groups that exist.", float64(r.GroupsTotal))
		figure("groups_healthy", "Groups that are led and whose replicas are all ready.", float64(r.GroupsHealthy))
		figure("nodes", "Nodes of the cluster.", float64(r.NodesTotal))
		figure("nodes_up", "Nodes that are up.", float64(r.NodesUp))
	}
	for _, a := range ages(r, now) {
		figure(a.name+"_seconds", "Age of the oldest of all groups.", a.seconds)
	}
	fmt.Fprintf(&b, "# HELP flotilla_check_level Worst level of one check: 0 ok, 1 warning, 2 critical, 3 unknown.\n# TYPE flotilla_check_level gauge\n")
	worst, order := map[string]int{}, []string{}
	for _, l := range r.Checks {
		level := levelOf(l.Status)
		if before, known := worst[l.Check]; !known {
			order = append(order, l.Check)
			worst[l.Check] = level
		} else {
			worst[l.Check] = max(before, level)
		}
	}
	for _, name := range order {
		fmt.Fprintf(&b, "flotilla_check_level{check=%q} %d\n", name, worst[name])
	}
	return b.String()
}

func levelOf(status string) int {
	for i, name := range levelNames {
		if name == status {
			return i
		}
	}
	return len(levelNames) - 1
}
