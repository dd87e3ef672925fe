package api

// Plan is what `?dry_run=true` answers: what the request would do now. Nothing
// of it was done, and no job was made.
type Plan struct {
	Kind       string      `json:"kind"`        // of the job that it would be
	DryRun     bool        `json:"dry_run"`     // true
	Mode       *string     `json:"mode"`        // of a verify, a resync or a move
	LogEntries uint64      `json:"log_entries"` // of a trim: that would be dropped, of all replicas that told; of a resync: replayed
	Bytes      int64       `json:"bytes"`       // of those entries; of a verify: of the files that would be read; of a resync: fetched
	Groups     []GroupPlan `json:"groups"`
}

// GroupPlan is a Plan's part of one group.
type GroupPlan struct {
	GroupID  uint32        `json:"group_id"`
	Leader   *string       `json:"leader"`
	Target   *string       `json:"target"` // of a step-down: who would lead; of a resync or a move: whose replica it is about
	Replicas []ReplicaPlan `json:"replicas"`
	Resync   *ResyncPlan   `json:"resync"` // of a resync or a move; null: of anything else, or not known
	Why      string        `json:"why"`    // why it would fail or not be whole as things stand, "" if it would not
}

// ReplicaPlan is what would happen to one assigned replica.
type ReplicaPlan struct {
	Node       string  `json:"node"`
	Role       string  `json:"role"`
	State      string  `json:"state"`
	Action     string  `json:"action"`
	LogEntries *uint64 `json:"log_entries"` // of a trim: that would be dropped; null: not known
	Bytes      *int64  `json:"bytes"`       // as in Plan; null: not known
	Why        string  `json:"why"`         // why it is skipped, or keeps entries that it has applied
}

// The words of ReplicaPlan.Action.
const (
	PlanTrim    = "trim"    // flush, snapshot, drop the log
	PlanCompare = "compare" // give its root
	PlanYield   = "yield"   // lead no more
	PlanLead    = "lead"    // take the leadership
	PlanFollow  = "follow"  // nothing but another leader
	PlanCopy    = "copy"    // be brought to equality
	PlanGive    = "give"    // be a source of a copy
	PlanGo      = "go"      // be removed once another has its place
	PlanNone    = "none"    // nothing
	PlanSkip    = "skip"    // it is needed and cannot be asked
)
