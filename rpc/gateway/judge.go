package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// ReplicaRoot is what one assigned replica answered in a check: its root, or
// why there is none.
type ReplicaRoot struct {
	Node string
	Root Root
	Err  error
}

// Comparison is the judgement of one group.
type Comparison struct {
	Equal     bool
	Findings  []api.Finding // a difference: the group is damaged
	Unchecked string        // why it is not fully checked, "" if it is
}

// Compare judges the roots of all assigned replicas of a group at one cut. It
// is pure. A majority of the assigned replicas that agree blames the others;
// without one, all that answered are disputed. Roots of different indices or
// lineages are never compared.
func Compare(group uint32, replicas []ReplicaRoot) Comparison {
	var missing []string
	byRoot := map[string][]string{}
	var at *Root
	for i := range replicas {
		r := &replicas[i]
		if r.Err != nil {
			missing = append(missing, r.Err.Error())
			continue
		}
		if at == nil {
			at = &r.Root
		} else if r.Root.Index != at.Index || r.Root.Lineage != at.Lineage {
			return Comparison{Unchecked: fmt.Sprintf("the replicas stand at different places: %s", places(replicas))}
		}
		byRoot[r.Root.Root] = append(byRoot[r.Root.Root], r.Node)
	}
	switch {
	case len(byRoot) > 1:
		return Comparison{Findings: blame(group, byRoot, len(replicas))}
	case len(missing) > 0:
		return Comparison{Unchecked: strings.Join(missing, "; ")}
	case len(replicas) == 0:
		return Comparison{Unchecked: "no replica is assigned"}
	}
	return Comparison{Equal: true}
}

func blame(group uint32, byRoot map[string][]string, assigned int) []api.Finding {
	right := ""
	for root, nodes := range byRoot {
		if 2*len(nodes) > assigned {
			right = root
		}
	}
	var out []api.Finding
	for root, nodes := range byRoot {
		if root == right {
			continue
		}
		verdict := "wrong"
		if right == "" {
			verdict = "disputed"
		}
		for _, node := range nodes {
			out = append(out, api.Finding{GroupID: group, Node: node, Kind: "data", Devices: []string{}, Verdict: verdict, Action: "none"})
		}
	}
	slices.SortFunc(out, func(a, b api.Finding) int { return strings.Compare(a.Node, b.Node) })
	return out
}

func places(replicas []ReplicaRoot) string {
	var out []string
	for _, r := range replicas {
		if r.Err == nil {
			out = append(out, fmt.Sprintf("%s at %d", r.Node, r.Root.Index))
		}
	}
	return strings.Join(out, ", ")
}
