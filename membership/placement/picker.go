package placement

import (
	"cmp"
	"slices"
)

// Defaults of the settings coordinator.hash_threshold and vnode_count.
const (
	DefaultHashThreshold = 20
	DefaultVnodes        = 200
)

// Node is a node that may be given replicas.
type Node struct {
	Name string // never the incarnation: a new one takes the old one's places
	Zone string // "" is a zone like any other name, but differs from nothing
}

// Options choose the hashing.
type Options struct {
	HashThreshold int // from so many nodes on the ring is used; 0: the default
	Vnodes        int // virtual nodes of each node on the ring; 0: the default
}

// Picker ranks nodes for groups. It is immutable.
type Picker struct {
	nodes  []Node // sorted by name, each name once
	hashes []uint64
	ring   []vnode // empty below the threshold
}

type vnode struct {
	hash uint64
	node int
}

// NewPicker prepares the ranking over nodes. Order and repeats of the list do
// not matter.
func NewPicker(nodes []Node, o Options) *Picker {
	if o.HashThreshold <= 0 {
		o.HashThreshold = DefaultHashThreshold
	}
	if o.Vnodes <= 0 {
		o.Vnodes = DefaultVnodes
	}
	p := &Picker{nodes: slices.Clone(nodes)}
	slices.SortFunc(p.nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Zone, b.Zone))
	})
	p.nodes = slices.CompactFunc(p.nodes, func(a, b Node) bool { return a.Name == b.Name })
	p.hashes = make([]uint64, len(p.nodes))
	for i, n := range p.nodes {
		p.hashes[i] = hashName(n.Name)
	}
	if len(p.nodes) >= o.HashThreshold {
		p.ring = buildRing(p.hashes, o.Vnodes)
	}
	return p
}

// Rank lists the names of all nodes for a group, the most wanted first.
func (p *Picker) Rank(group uint32) []string {
	order := p.order(group)
	names := make([]string, len(order))
	for i, n := range order {
		names[i] = p.nodes[n].Name
	}
	return names
}

// order lists indices into p.nodes, the most wanted first.
func (p *Picker) order(group uint32) []int {
	if len(p.ring) > 0 {
		return p.walk(hashGroup(group))
	}
	g := hashGroup(group)
	order := make([]int, len(p.nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(score(p.hashes[b], g), score(p.hashes[a], g))
	})
	return order
}

func buildRing(hashes []uint64, vnodes int) []vnode {
	ring := make([]vnode, 0, len(hashes)*vnodes)
	for n, h := range hashes {
		for i := range vnodes {
			ring = append(ring, vnode{vnodeHash(h, i), n})
		}
	}
	slices.SortFunc(ring, func(a, b vnode) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.node, b.node))
	})
	return ring
}

// walk lists the nodes in the order in which the ring meets them clockwise.
func (p *Picker) walk(from uint64) []int {
	start, _ := slices.BinarySearchFunc(p.ring, from, func(v vnode, h uint64) int { return cmp.Compare(v.hash, h) })
	order := make([]int, 0, len(p.nodes))
	seen := make([]bool, len(p.nodes))
	for i := 0; i < len(p.ring) && len(order) < len(p.nodes); i++ {
		n := p.ring[(start+i)%len(p.ring)].node
		if !seen[n] {
			seen[n] = true
			order = append(order, n)
		}
	}
	return order
}
