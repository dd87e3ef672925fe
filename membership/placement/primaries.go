package placement

import (
	"slices"

	"github.com/flotilla-db/flotilla/membership"
)

// repick moves primaries among the holders of their groups, which costs a
// transfer of leadership and no data, until the busiest and the least busy
// node are within MaxSpread.
//
//	repeat: busiest = the node with most primaries
//	        find the shortest chain busiest = n0, n1, .. nk, where n(i+1)
//	        holds a group whose primary is n(i), and nk has at least two
//	        primaries fewer than the busiest
//	        move one primary along each step of the chain
//
// Moving only from the busiest straight to the least busy one would stop too
// early where these two share no group. Each round lowers the busiest node's
// count by one and raises another one's that stays below it: it ends.
func (p *Picker) repick(groups []membership.Assignment) {
	count := make([]int, len(p.nodes))
	index := make(map[string]int, len(p.nodes))
	for n := range p.nodes {
		index[p.nodes[n].Name] = n
	}
	for i := range groups {
		if n, ok := index[groups[i].Primary]; ok {
			count[n]++
		}
	}
	for {
		busiest := argmax(count)
		if withinSpread(count[busiest], slices.Min(count), MaxSpread) {
			return
		}
		chain := findChain(groups, index, count, busiest)
		if chain == nil {
			return
		}
		for _, step := range chain {
			movePrimary(&groups[step.group], p.nodes[step.to].Name)
		}
		count[busiest]--
		count[chain[len(chain)-1].to]++
	}
}

// step moves the primary of groups[group] to a node.
type step struct {
	group int
	to    int
}

// findChain searches breadth-first from the busiest node. Among nodes at the
// same distance the one with fewest primaries is taken.
func findChain(groups []membership.Assignment, index map[string]int, count []int, busiest int) []step {
	led := make([][]int, len(count)) // node -> groups whose primary it is
	for g := range groups {
		if n, ok := index[groups[g].Primary]; ok {
			led[n] = append(led[n], g)
		}
	}
	from := make([]int, len(count))
	via := make([]int, len(count))
	for n := range from {
		from[n] = -1
	}
	from[busiest] = busiest
	for level := []int{busiest}; len(level) > 0; {
		var next []int
		for _, n := range level {
			for _, g := range led[n] {
				for _, name := range groups[g].Replicas {
					if to, ok := index[name]; ok && from[to] < 0 {
						from[to], via[to] = n, g
						next = append(next, to)
					}
				}
			}
		}
		best := -1
		for _, n := range next {
			if count[n] <= count[busiest]-2 && (best < 0 || count[n] < count[best] || count[n] == count[best] && n < best) {
				best = n
			}
		}
		if best >= 0 {
			return unwind(from, via, busiest, best)
		}
		level = next
	}
	return nil
}

func unwind(from, via []int, busiest, last int) []step {
	var chain []step
	for n := last; n != busiest; n = from[n] {
		chain = append(chain, step{via[n], n})
	}
	slices.Reverse(chain)
	return chain
}

// movePrimary makes a replica the primary, and the primary a replica.
func movePrimary(a *membership.Assignment, to string) {
	a.Replicas = slices.DeleteFunc(a.Replicas, func(name string) bool { return name == to })
	if a.Primary != "" {
		a.Replicas = append(a.Replicas, a.Primary)
	}
	slices.Sort(a.Replicas)
	a.Primary = to
}

func argmax(count []int) int {
	best := 0
	for i, c := range count {
		if c > count[best] {
			best = i
		}
	}
	return best
}
