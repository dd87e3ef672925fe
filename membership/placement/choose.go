package placement

import "slices"

// MaxSpread is the promise: the busiest node holds at most MaxSpread times
// what the least busy one holds, of primaries and of replicas, or they
// differ by one.
const MaxSpread = 1.15

// chooseSpread is what a choice aims at. It is tighter than the promise, to
// leave room for the choices that have no good candidate left (the least
// busy node may hold the group already).
const chooseSpread = 1.10

// Load is what a node holds.
type Load struct {
	Primaries int // groups whose primary it is
	Replicas  int // groups that it holds without being their primary
}

// Loads is what each node holds, by name. Absent: nothing.
type Loads map[string]Load

// Add counts a choice.
func (l Loads) Add(c Choice) {
	p := l[c.Primary]
	p.Primaries++
	l[c.Primary] = p
	for _, name := range c.Replicas {
		r := l[name]
		r.Replicas++
		l[name] = r
	}
}

// Choice says who should hold a group.
type Choice struct {
	Primary  string
	Replicas []string // sorted, without the primary
}

// Choose picks the holders of a new group: factor of them, fewer if there are
// fewer nodes, none if there is no node.
func Choose(group uint32, nodes []Node, loads Loads, factor int, o Options) Choice {
	return NewPicker(nodes, o).Choose(group, loads, factor)
}

// Choose picks the holders of a new group. Zones come first (replicas in
// different zones where there are any left), then the bound on loads, then
// the rank of the hashing.
func (p *Picker) Choose(group uint32, loads Loads, factor int) Choice {
	if len(p.nodes) == 0 || factor <= 0 {
		return Choice{}
	}
	order := p.order(group)
	primary := p.pick(order, nil, func(n int) int { return loads[p.nodes[n].Name].Primaries })
	holders := []int{primary}
	for len(holders) < factor && len(holders) < len(p.nodes) {
		holders = append(holders, p.pickReplica(order, holders, loads))
	}
	choice := Choice{Primary: p.nodes[primary].Name}
	for _, n := range holders[1:] {
		choice.Replicas = append(choice.Replicas, p.nodes[n].Name)
	}
	slices.Sort(choice.Replicas)
	return choice
}

// pickReplica picks one more holder. At least one node must be left.
func (p *Picker) pickReplica(order, holders []int, loads Loads) int {
	return p.pick(order, holders, func(n int) int { return loads[p.nodes[n].Name].Replicas })
}

// pick takes the first node of the order that may hold one more without
// going beyond the bound; if none may, the least loaded of those that can.
func (p *Picker) pick(order, holders []int, load func(int) int) int {
	least := load(order[0])
	for _, n := range order {
		least = min(least, load(n))
	}
	candidates := p.eligible(order, holders)
	best := candidates[0]
	for _, n := range candidates {
		if withinSpread(load(n)+1, least, chooseSpread) {
			return n
		}
		if load(n) < load(best) {
			best = n
		}
	}
	return best
}

// eligible gives the nodes that do not hold the group, in order: those of
// zones that hold no replica yet, or all if there are none such.
func (p *Picker) eligible(order, holders []int) []int {
	var fresh, others []int
	for _, n := range order {
		if slices.Contains(holders, n) {
			continue
		}
		others = append(others, n)
		taken := slices.ContainsFunc(holders, func(h int) bool { return p.nodes[h].Zone == p.nodes[n].Zone })
		if !taken {
			fresh = append(fresh, n)
		}
	}
	if len(fresh) > 0 {
		return fresh
	}
	return others
}

// withinSpread reports whether most and least are as near to each other as
// spread wants, or differ by at most one.
func withinSpread(most, least int, spread float64) bool {
	return most <= least+1 || float64(most) <= spread*float64(least)
}
