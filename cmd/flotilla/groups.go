package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// topRows is how many groups --top shows.
const topRows = 20

func groupsVerb(streams) *cli.Command {
	return &cli.Command{
		Name:  "groups",
		Usage: "the groups that exist: who holds them, and whether they are well",
		Subcommands: []*cli.Command{{
			Name:  "list",
			Usage: "every group; the last line is the verdict over the cluster",
			Flags: clientFlags(
				&cli.StringFlag{Name: "state", Usage: "only groups in this state: active, syncing, rebalancing"},
				&cli.StringFlag{Name: "node", Usage: "only groups with a replica on this node"},
				&cli.BoolFlag{Name: "unhealthy", Usage: "only groups without a leader or with a replica that is not ready"},
				&cli.StringFlag{Name: "top", Usage: fmt.Sprintf("the %d first by lag, size, or writes (log entries since birth)", topRows)},
			),
			Action: listGroups,
			Description: `flotilla groups
flotilla groups list --unhealthy
flotilla groups list --node n2 --top size -o wide
flotilla groups list -o json | jq '.groups[] | select(.leader == null)'`,
		}},
		Description: `flotilla groups
flotilla groups --unhealthy
flotilla groups --top lag`,
	}
}

func listGroups(c *cli.Context) error {
	if err := arity(c, 0, 0); err != nil {
		return err
	}
	if err := refuseEmpty(c, "state", "node", "top"); err != nil {
		return err
	}
	order, err := groupOrder(c.String("top"))
	if err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	query := url.Values{}
	for _, name := range []string{"state", "node"} {
		if v := c.String(name); v != "" {
			query.Set(name, v)
		}
	}
	body, err := s.api.List(c.Context, "/v1/admin/groups", query)
	if err != nil {
		return err
	}
	if c.Bool("unhealthy") || order != nil {
		if body, err = narrow(body, c.Bool("unhealthy"), order); err != nil {
			return err
		}
	}
	return s.print.print(body, func() (*table, error) {
		t, err := decodeTable(body, groupsTable)
		if err != nil || s.print.format == outputName {
			return t, err
		}
		var cluster api.Cluster
		if _, err := s.api.Get(c.Context, "/v1/admin/cluster", nil, &cluster); err != nil {
			return nil, err
		}
		t.verdict = cluster.Verdict
		return t, nil
	})
}

// groupOrder returns how --top compares two groups, nil without --top.
func groupOrder(top string) (func(a, b api.Group) int, error) {
	switch top {
	case "":
		return nil, nil
	case "lag":
		return func(a, b api.Group) int { return cmp.Compare(worstLag(b), worstLag(a)) }, nil
	case "size":
		return func(a, b api.Group) int { return cmp.Compare(mostBytes(b), mostBytes(a)) }, nil
	case "writes":
		return func(a, b api.Group) int { return cmp.Compare(b.CommitIndex, a.CommitIndex) }, nil
	}
	return nil, usagef("--top %q is not lag, size or writes", top)
}

// narrow filters and sorts a list in place of the node, and keeps its shape.
func narrow(body []byte, unhealthy bool, order func(a, b api.Group) int) ([]byte, error) {
	var l api.GroupList
	if err := json.Unmarshal(body, &l); err != nil {
		return nil, fmt.Errorf("answer of the node: %w", err)
	}
	if unhealthy {
		l.Groups = slices.DeleteFunc(l.Groups, func(g api.Group) bool { return g.Healthy() })
	}
	if order != nil {
		slices.SortStableFunc(l.Groups, order)
		l.Groups = l.Groups[:min(topRows, len(l.Groups))]
	}
	return json.Marshal(l)
}

func worstLag(g api.Group) (lag uint64) {
	for _, r := range g.Replicas {
		if r.Lag != nil {
			lag = max(lag, *r.Lag)
		}
	}
	return lag
}

// worstLagCell shows the worst lag that is known.
func worstLagCell(g api.Group) string {
	if !slices.ContainsFunc(g.Replicas, func(r api.Replica) bool { return r.Lag != nil }) {
		return absent
	}
	return countCell(worstLag(g))
}

func mostBytes(g api.Group) (bytes int64) {
	for _, r := range g.Replicas {
		bytes = max(bytes, r.Bytes)
	}
	return bytes
}

func mostPoints(g api.Group) (points uint64) {
	for _, r := range g.Replicas {
		points = max(points, r.Points)
	}
	return points
}

// trouble is what is not well with a replica, with its state where that is not plain from the reason.
func trouble(r *api.Replica) string {
	switch r.State {
	case api.ReplicaSuspect, api.ReplicaDisputed, api.ReplicaQuarantined:
		return r.Node + " is " + r.State + ": " + textCell(r.Why)
	}
	if r.Why == "" {
		return ""
	}
	return r.Node + ": " + r.Why
}

func groupsTable(l api.GroupList) *table {
	t := &table{columns: []column{
		{heading: "GROUP", right: true}, {heading: "STATE", colours: stateColours}, {heading: "PRIMARY"}, {heading: "REPLICAS"}, {heading: "LEADER", colours: leaderColours},
		{heading: "READY"}, {heading: "COMMIT", right: true}, {heading: "LAG", right: true},
		{heading: "BYTES", right: true}, {heading: "POINTS", right: true}, {heading: "WHY"},
		{heading: "TERM", wide: true, right: true}, {heading: "EPOCH", wide: true, right: true},
		{heading: "LAST PROOF", wide: true}, {heading: "LAST SCRUB", wide: true}, {heading: "JOB", wide: true}, {heading: "UPDATED", wide: true},
	}}
	for _, g := range l.Groups {
		ready := 0
		why := textCell(g.Why)
		for _, r := range g.Replicas {
			if r.State == api.ReplicaReady {
				ready++
			}
			if text := trouble(&r); text != "" && why == absent {
				why = text
			}
		}
		leader := noLeader
		if g.Leader != nil {
			leader = *g.Leader
		}
		t.add(countCell(g.GroupID), g.State, g.PrimaryNode, textCell(strings.Join(g.ReplicaNodes, ",")), leader,
			fmt.Sprintf("%d/%d", ready, 1+len(g.ReplicaNodes)), countCell(g.CommitIndex), worstLagCell(g),
			bytesCell(mostBytes(g)), countCell(mostPoints(g)), why,
			countCell(g.Term), countCell(g.Epoch), timeCell(g.LastProofAt), timeCell(g.LastScrubAt), pointerCell(g.Job), timeCell(g.UpdatedAt))
	}
	return t
}
