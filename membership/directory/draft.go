package directory

import (
	"maps"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
)

// draft is the next table while commands are applied to it. Each map is
// copied before the first write to it; the rows are values that are replaced
// as a whole, so that older tables stay as they are.
type draft struct {
	table   Table
	changed bool // this command changed something

	ownNodes, ownDatabases, ownSettings, ownAssignments, ownBirths, ownRetired bool
}

func newDraft(from *Table) *draft { return &draft{table: *from} }

// finish gives the new table.
func (d *draft) finish() *Table {
	t := d.table
	t.changed = make(chan struct{})
	return &t
}

func own[K comparable, V any](owned *bool, m *map[K]V) map[K]V {
	if !*owned {
		*m, *owned = maps.Clone(*m), true
	}
	return *m
}

func (d *draft) setNode(n membership.Node) {
	own(&d.ownNodes, &d.table.Nodes)[n.Name] = n
	d.changed = true
}

// maxRetired bounds the remembered incarnations of one name. A disk that
// was replaced more than so many times ago is as good as unknown.
const maxRetired = 16

func (d *draft) retire(id membership.NodeID) {
	list := append(slices.Clone(d.table.retired[id.Name]), id.Incarnation)
	if len(list) > maxRetired {
		list = list[len(list)-maxRetired:]
	}
	own(&d.ownRetired, &d.table.retired)[id.Name] = list
	d.changed = true
}

func (d *draft) setDatabase(db membership.Database) {
	own(&d.ownDatabases, &d.table.Databases)[db.Name] = db
	d.changed = true
}

func (d *draft) dropDatabase(name string) {
	delete(own(&d.ownDatabases, &d.table.Databases), name)
	d.changed = true
}

func (d *draft) setSetting(key, value string) {
	own(&d.ownSettings, &d.table.Settings)[key] = value
	d.changed = true
}

func (d *draft) dropSetting(key string) {
	delete(own(&d.ownSettings, &d.table.Settings), key)
	d.changed = true
}

func (d *draft) setAssignment(a membership.Assignment) {
	own(&d.ownAssignments, &d.table.Assignments)[a.Group] = a
	d.changed = true
}

func (d *draft) setBirth(b membership.Birth) {
	own(&d.ownBirths, &d.table.Births)[b.Group] = b
	d.changed = true
}
