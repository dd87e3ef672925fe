package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

func checkVerb(streams) *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "ok, warning or critical: for a monitoring system, or before a change",
		Flags: clientFlags(
			&cli.StringFlag{Name: "format", Value: checkText, Usage: strings.Join(checkFormats, ", ")},
		),
		Action: check,
		Description: `flotilla check
flotilla check --format nagios --addr 10.0.0.1:7601 --addr 10.0.0.2:7601
flotilla check --format prometheus > /var/lib/node_exporter/flotilla.prom

It reads the tables of the first node that answers, and changes nothing: leaders, states of replicas and nodes, the ages
of the last proof and the last scrub of each group.
Exit code 0: ok; 1: warning; 2: critical (wrong usage, too); 3: unknown, no node could tell.`,
	}
}

// The words of --format.
const (
	checkText       = "text"
	checkNagios     = "nagios"
	checkJSON       = "json"
	checkPrometheus = "prometheus"
)

var checkFormats = []string{checkText, checkNagios, checkJSON, checkPrometheus}

// checkResult is what the command prints.
type checkResult struct {
	Status        string      `json:"status"` // ok, warning, critical, unknown
	ExitCode      int         `json:"exit_code"`
	Summary       string      `json:"summary"`
	GroupsTotal   int         `json:"groups_total"`
	GroupsHealthy int         `json:"groups_healthy"`
	NodesTotal    int         `json:"nodes_total"`
	NodesUp       int         `json:"nodes_up"`
	OldestProofAt api.Time    `json:"oldest_proof_at"` // null: a group was never proven equal, or there is none
	OldestScrubAt api.Time    `json:"oldest_scrub_at"`
	Checks        []checkLine `json:"checks"` // the worst first
}

// checkLine is one thing that was looked at.
type checkLine struct {
	Status string   `json:"status"`
	Check  string   `json:"check"`
	Text   string   `json:"text"`
	Groups []uint32 `json:"groups"`
	Nodes  []string `json:"nodes"`
}

// levelNames are the words of the levels.
var levelNames = [...]string{antientropy.OK: "ok", antientropy.Warning: "warning", antientropy.Critical: "critical", antientropy.Unknown: "unknown"}

func check(c *cli.Context) error {
	if err := arity(c, 0, 0); err != nil {
		return err
	}
	format := c.String("format")
	if !slices.Contains(checkFormats, format) {
		return usagef("--format %q is not one of %s", format, strings.Join(checkFormats, ", "))
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	tables, err := s.healthTables(c.Context)
	if err != nil && errors.Is(c.Context.Err(), context.Canceled) {
		return err
	}
	now := time.Now()
	var result checkResult
	if err != nil {
		result = notKnown(err)
	} else {
		result = tables.assess(now)
	}
	if err := s.printCheck(format, &result, now); err != nil {
		return err
	}
	if result.ExitCode != exitOK {
		return verdict{code: result.ExitCode}
	}
	return nil
}

// notKnown is the result where no node could tell.
func notKnown(err error) checkResult {
	name := levelNames[antientropy.Unknown]
	return checkResult{Status: name, ExitCode: int(antientropy.Unknown), Summary: err.Error(),
		Checks: []checkLine{{Status: name, Check: "nodes", Text: err.Error(), Groups: []uint32{}, Nodes: []string{}}}}
}

// healthTables are what a check looks at.
type healthTables struct {
	groups   []api.Group
	nodes    []api.Node
	settings antientropy.Settings
}

func (s *session) healthTables(ctx context.Context) (t healthTables, err error) {
	var groups api.GroupList
	var nodes api.NodeList
	for path, list := range map[string]any{"/v1/admin/groups": &groups, "/v1/admin/nodes": &nodes} {
		body, err := s.api.List(ctx, path, nil)
		if err != nil {
			return t, err
		}
		if err := json.Unmarshal(body, list); err != nil {
			return t, fmt.Errorf("answer of the node: %w", err)
		}
	}
	var settings api.SettingList
	body, err := s.api.Do(ctx, apiclient.Request{Path: "/v1/admin/settings"})
	if err == nil {
		err = json.Unmarshal(body, &settings)
	}
	if err != nil {
		return t, fmt.Errorf("settings of the node: %w", err)
	}
	t.groups, t.nodes = groups.Groups, nodes.Nodes
	t.settings, err = antiEntropySettings(settings.Settings)
	return t, err
}

// antiEntropySettings reads the bounds of the ages. A node that has no such settings checks nothing by itself.
func antiEntropySettings(rows []api.Setting) (s antientropy.Settings, err error) {
	for _, r := range rows {
		var wrong error
		switch r.Key {
		case "storage.anti_entropy.enabled":
			s.Enabled, wrong = strconv.ParseBool(r.Value)
		case "storage.anti_entropy.interval":
			s.Interval, wrong = config.ParseDuration(r.Value)
		case "storage.anti_entropy.scrub_interval":
			s.ScrubInterval, wrong = config.ParseDuration(r.Value)
		case "storage.anti_entropy.rate":
			s.Rate, wrong = api.ParseSize(r.Value)
		}
		if wrong != nil {
			return s, fmt.Errorf("setting %s of the node: %w", r.Key, wrong)
		}
	}
	return s, nil
}

// assess gives the verdict over the tables; the rules are those of package antientropy.
func (t *healthTables) assess(now time.Time) checkResult {
	r := checkResult{GroupsTotal: len(t.groups), NodesTotal: len(t.nodes), Checks: []checkLine{}}
	groups := make([]antientropy.GroupHealth, len(t.groups))
	for i := range t.groups {
		g := &t.groups[i]
		groups[i] = groupHealth(g)
		if g.Healthy() {
			r.GroupsHealthy++
		}
		r.OldestProofAt, r.OldestScrubAt = older(i, r.OldestProofAt, g.LastProofAt), older(i, r.OldestScrubAt, g.LastScrubAt)
	}
	nodes := make([]antientropy.NodeHealth, len(t.nodes))
	for i := range t.nodes {
		nodes[i] = antientropy.NodeHealth{Name: t.nodes[i].Name, State: t.nodes[i].State}
		if t.nodes[i].State == api.NodeStates[0] {
			r.NodesUp++
		}
	}
	a := antientropy.Assess(now, t.settings, groups, nodes)
	r.Status, r.ExitCode = levelNames[a.Level], int(a.Level)
	for _, l := range a.Lines {
		r.Checks = append(r.Checks, checkLine{Status: levelNames[l.Level], Check: l.Check, Text: l.Text,
			Groups: append([]uint32{}, l.Groups...), Nodes: append([]string{}, l.Nodes...)})
	}
	r.Summary = fmt.Sprintf("%d/%d groups healthy, %d/%d nodes up", r.GroupsHealthy, r.GroupsTotal, r.NodesUp, r.NodesTotal)
	return r
}

func groupHealth(g *api.Group) antientropy.GroupHealth {
	h := antientropy.GroupHealth{Group: g.GroupID, Led: g.Leader != nil, Proof: g.LastProofAt.Time, Scrub: g.LastScrubAt.Time, Created: g.UpdatedAt.Time}
	for i := range g.Replicas {
		r := &g.Replicas[i]
		h.Replicas = append(h.Replicas, antientropy.ReplicaHealth{Node: r.Node, State: r.State, Why: r.Why, Voter: r.Role != api.RoleLearner})
	}
	return h
}

// older is the older of two times, where none is the oldest of all; the first of a list has nothing before it.
func older(i int, before, at api.Time) api.Time {
	if i == 0 || !before.IsZero() && (at.IsZero() || at.Before(before.Time)) {
		return at
	}
	return before
}
