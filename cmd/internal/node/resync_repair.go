package node

import (
	"context"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// triggerRepair: a check found the replica wrong.
const triggerRepair trigger = "repair"

// repairOf is what a check has found of a replica of this node.
type repairOf struct {
	Good []string      `json:"good"` // the nodes that leaves may come from
	Bad  []digest.Leaf `json:"bad"`  // whatever the replica's own digests say of them
	Why  string        `json:"why"`
}

// BeginRepair begins the job that brings a replica of this node to equality with
// good ones, or finds the job that the group has: a resync by the leaves that
// differ, or, where the file as a whole is damaged, of all. In the first moments of a
// process it waits: a replica that a start finds wrong is often asked for just then.
func (m *resyncs) BeginRepair(ctx context.Context, group uint32, r antientropy.Repair) (api.Job, error) {
	m.untilUp(ctx)
	j := &syncJob{Group: group, Kind: api.JobRepair, Trigger: triggerRepair, Repair: &repairOf{Good: r.Good, Bad: r.Leaves, Why: r.Why}}
	j.Options.Mode = api.ModePartialSync
	if r.Structure {
		j.Options.Mode = api.ModeFullSync
	}
	j, err := m.open(j)
	if err != nil {
		return api.Job{}, err
	}
	return j.row.Job(), nil
}

// reason is what a row says until there is a verdict.
func (j *syncJob) reason() string {
	if j.Repair != nil && j.Repair.Why != "" {
		return j.Repair.Why
	}
	return j.Trigger.reason()
}

// exhibitOf is what is kept with the old bytes that a repair replaces; nil where
// the group's job is none.
func (m *resyncs) exhibitOf(group uint32) *raftgroup.Exhibit {
	j := m.jobOf(group)
	if j == nil || j.Repair == nil {
		return nil
	}
	return &raftgroup.Exhibit{Job: j.row.ID(), Why: j.Repair.Why, Good: j.Repair.Good, Leaves: j.Repair.Bad}
}
