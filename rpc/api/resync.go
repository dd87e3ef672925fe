package api

// The kinds of job that bring a replica to equality. A move is a resync whose
// target takes a place over from another node.
const (
	JobResync = "resync"
	JobMove   = "move"
)

// The words of Job.Mode of a resync or a move.
const (
	ModeAuto        = "auto"
	ModeFullSync    = "full-sync"
	ModePartialSync = "partial-sync"
)

// The words of a verdict: of Job.Verdict and ResyncPlan.Verdict.
const (
	VerdictNone   = "none"
	VerdictReplay = "replay"
	VerdictDelta  = "delta"
	VerdictFull   = "full"
)

// ResyncPlan is what a resync of one group would do now.
type ResyncPlan struct {
	Mode            string   `json:"mode"`
	Verdict         *string  `json:"verdict"` // none, replay, delta, full; null: refused, or it would wait
	Reason          string   `json:"reason"`
	BlockedBy       *string  `json:"blocked_by"`
	Entries         uint64   `json:"entries"` // of the log that would be replayed
	Bytes           int64    `json:"bytes"`   // that would be moved
	LeavesTotal     int64    `json:"leaves_total"`
	LeavesEqual     int64    `json:"leaves_equal"`
	LeavesMissing   int64    `json:"leaves_missing"`
	LeavesDiffering int64    `json:"leaves_differing"`
	LeavesOrphan    int64    `json:"leaves_orphan"`
	Sources         []string `json:"sources"` // nodes that could give bytes, the leader last
	EtaS            *float64 `json:"eta_s"`
}
