package syncing

import (
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// triggerRepair: a check found the replica wrong.
const triggerRepair trigger = "repair"

// repairOf is what a check has found of a replica of this node.
type repairOf struct {
	Good []string      `json:"good"` // the nodes that leaves may come from
	Bad  []digest.Leaf `json:"bad"`  // whatever the replica's own digests say of them
	Why  string        `json:"why"`
}

// reason is what a row says until there is a verdict.
func (j *job) reason() string {
	if j.Repair != nil && j.Repair.Why != "" {
		return j.Repair.Why
	}
	return j.Trigger.reason()
}

// exhibitOf is what is kept with the old bytes that a repair replaces; nil where
// the group's job is none.
func (t *table) exhibitOf(group uint32) *raftgroup.Exhibit {
	j := t.of(group)
	if j == nil || j.Repair == nil {
		return nil
	}
	return &raftgroup.Exhibit{Job: j.row.ID(), Why: j.Repair.Why, Good: j.Repair.Good, Leaves: j.Repair.Bad}
}
