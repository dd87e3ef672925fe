package placement

import (
	"cmp"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
)

// Plan gives the assignments that should change, each with the epoch that it
// was computed from: groups with fewer holders than the factor get more (their
// state becomes syncing, until their leader says that all are equal), and
// primaries are picked anew among the holders until their spread holds. No
// replica is moved or taken away. nodes are those that may be given replicas
// now; what other nodes hold stays as it is.
func Plan(assignments []membership.Assignment, nodes []Node, factor int, o Options) []membership.Assignment {
	p := NewPicker(nodes, o)
	if len(p.nodes) == 0 {
		return nil
	}
	next := make([]membership.Assignment, len(assignments))
	for i, a := range assignments {
		next[i] = a.Clone()
	}
	slices.SortFunc(next, func(a, b membership.Assignment) int { return cmp.Compare(a.Group, b.Group) })
	p.fill(next, min(factor, len(p.nodes)))
	p.repick(next)
	return changed(assignments, next)
}

// fill gives groups below the factor more holders.
func (p *Picker) fill(groups []membership.Assignment, factor int) {
	loads := CountLoads(groups)
	for i := range groups {
		a := &groups[i]
		order := p.order(a.Group)
		for len(a.Nodes()) < factor {
			var holders []int
			for n := range p.nodes {
				if a.Holds(p.nodes[n].Name) {
					holders = append(holders, n)
				}
			}
			if len(holders) == len(p.nodes) {
				break
			}
			name := p.nodes[p.pickReplica(order, holders, loads)].Name
			a.Replicas = append(a.Replicas, name)
			a.State = membership.GroupSyncing
			l := loads[name]
			l.Replicas++
			loads[name] = l
		}
		slices.Sort(a.Replicas)
	}
}

// CountLoads counts what each node holds.
func CountLoads(assignments []membership.Assignment) Loads {
	loads := Loads{}
	for _, a := range assignments {
		loads.Add(Choice{Primary: a.Primary, Replicas: a.Replicas})
	}
	return loads
}

func changed(before, after []membership.Assignment) []membership.Assignment {
	old := make(map[uint32]membership.Assignment, len(before))
	for _, a := range before {
		old[a.Group] = a
	}
	var out []membership.Assignment
	for _, a := range after {
		was := old[a.Group]
		if was.Primary != a.Primary || len(was.Replicas) != len(a.Replicas) || was.State != a.State {
			out = append(out, a)
		}
	}
	return out
}
