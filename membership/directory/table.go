package directory

import (
	"maps"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
)

// Table is everything that the meta group knows, as of one index. It never
// changes: readers keep it as long as they like, and must not write to its
// maps and slices.
type Table struct {
	Index       uint64 // of the last command in it
	ClusterID   string // UUID; "" before the cluster was made
	TotalGroups uint32 // fixed when the cluster was made
	Nodes       map[string]membership.Node
	Databases   map[string]membership.Database
	Settings    map[string]string // only what was set: defaults are the reader's
	Assignments map[uint32]membership.Assignment
	Births      map[uint32]membership.Birth

	retired     map[string][]string // name -> incarnations that were replaced, oldest first
	configIndex uint64              // index of the last applied configuration of the meta group
	changed     chan struct{}       // closed when a newer table replaces this one
}

func newTable() *Table {
	return &Table{
		Nodes:       map[string]membership.Node{},
		Databases:   map[string]membership.Database{},
		Settings:    map[string]string{},
		Assignments: map[uint32]membership.Assignment{},
		Births:      map[uint32]membership.Birth{},
		retired:     map[string][]string{},
		changed:     make(chan struct{}),
	}
}

// Changed is closed as soon as a newer table than this one is there.
func (t *Table) Changed() <-chan struct{} { return t.changed }

// Node finds the row of exactly this incarnation.
func (t *Table) Node(id membership.NodeID) (membership.Node, bool) {
	n, ok := t.Nodes[id.Name]
	return n, ok && n.NodeID == id
}

// Replaced reports whether the incarnation had a row and another incarnation
// of the same name has taken its places.
func (t *Table) Replaced(id membership.NodeID) bool {
	return slices.Contains(t.retired[id.Name], id.Incarnation)
}

// Groups lists the groups that exist, in ascending order.
func (t *Table) Groups() []uint32 { return slices.Sorted(maps.Keys(t.Births)) }

// HeldBy lists the assignments in which the node of that name is a holder, in
// ascending order of groups.
func (t *Table) HeldBy(name string) []membership.Assignment {
	var out []membership.Assignment
	for _, a := range t.SortedAssignments() {
		if a.Holds(name) {
			out = append(out, a)
		}
	}
	return out
}

// SortedAssignments lists all assignments in ascending order of groups.
func (t *Table) SortedAssignments() []membership.Assignment {
	out := make([]membership.Assignment, 0, len(t.Assignments))
	for _, g := range slices.Sorted(maps.Keys(t.Assignments)) {
		out = append(out, t.Assignments[g])
	}
	return out
}

// SortedNodes lists all nodes by name.
func (t *Table) SortedNodes() []membership.Node {
	out := make([]membership.Node, 0, len(t.Nodes))
	for _, name := range slices.Sorted(maps.Keys(t.Nodes)) {
		out = append(out, t.Nodes[name])
	}
	return out
}

// Missing gives those of the groups that do not exist yet.
func (t *Table) Missing(groups []uint32) []uint32 {
	var out []uint32
	for _, g := range groups {
		if _, ok := t.Births[g]; !ok {
			out = append(out, g)
		}
	}
	return out
}
