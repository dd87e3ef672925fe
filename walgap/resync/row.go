package resync

import "time"

// Row is what a job shows of itself: the resync part of INTERFACE's Job object.
type Row struct {
	ID      string
	Group   uint32
	Target  string // node name
	Mode    string
	DryRun  bool
	Verdict string // none, replay, delta, full; empty: none was reached
	Reason  string
	Stage   Stage // the last one of Plan..Promote

	Sources         []SourceBytes // that gave bytes
	Offered         []Source      // that may give them
	PlannedBytes    int64
	PlannedS        float64
	BytesDone       int64
	BytesTotal      int64
	LeavesTotal     int64
	LeavesEqual     int64
	LeavesMissing   int64
	LeavesDiffering int64
	LeavesOrphan    int64
	EntriesPlanned  int64 // of a replay
	EntriesDone     int64
	Rate            float64  // bytes/s over the last seconds
	EtaS            *float64 // nil: not known yet
	Attempt         int
	Fence           time.Duration // the longest of all cuts, aborted ones included
	BlockedBy       string

	StartedAt      time.Time
	LastProgressAt time.Time
	FinishedAt     time.Time
	Status         Status
	// Ending is what Status is about to become. An update that carries it must be durable when Update returns: after it
	// the staging goes, so a node that finds such a row after a restart, and no staging, makes it final itself.
	Ending Status
	Error  string
	Report *Report // with the final status
}

// Report is the plan against what came of it: the `result` of a job.
type Report struct {
	Verdict       string   `json:"verdict"`
	PlannedBytes  int64    `json:"planned_bytes"`
	BytesMoved    int64    `json:"bytes_moved"`
	PlannedS      float64  `json:"planned_s"`
	ElapsedS      float64  `json:"elapsed_s"`
	EntriesPlan   int64    `json:"planned_entries"`
	EntriesDone   int64    `json:"entries_replayed"`
	BytesKept     int64    `json:"bytes_kept"`   // that the replica or its staging held already
	BytesCopied   int64    `json:"bytes_copied"` // locally, from the old file
	InPlace       bool     `json:"in_place"`
	Installed     bool     `json:"installed"`
	CutIndex      uint64   `json:"cut_index"`
	CutTerm       uint64   `json:"cut_term"`
	Root          string   `json:"root"` // proven; empty: none was
	Cuts          int      `json:"cuts"`
	CutsAborted   int      `json:"cuts_aborted"`
	FenceMaxMs    float64  `json:"fence_max_ms"`
	Attempts      int      `json:"attempts"`
	Restarts      int      `json:"restarts"` // from plan, because the leader, the lineage or the epoch changed
	ProofS        float64  `json:"proof_s"`
	SourcesBlamed []string `json:"sources_blamed"`
	LeasesEnded   bool     `json:"leases_ended"` // through the log; false: their time has passed
}

// Jobs keeps the rows. Update is called at every change of stage and at most every rowInterval in between; an error is
// logged, and tried again with the next update, except that a job is not final before its Ending was taken.
type Jobs interface {
	Update(row Row) error
}
