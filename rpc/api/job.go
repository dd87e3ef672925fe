package api

import "encoding/json"

// The words of Job.Kind that exist so far.
const (
	JobVerify   = "verify"
	JobTrim     = "trim"
	JobStepDown = "step-down"
	JobRepair   = "repair" // a replica that was found wrong is brought to equality
)

// JobKinds are the words of Job.Kind.
var JobKinds = []string{JobResync, JobMove, JobRepair, JobVerify, JobDrill, JobTrim, JobStepDown}

// The words of Job.Status.
const (
	StatusQueued    = "queued"
	StatusRunning   = "running"
	StatusStalled   = "stalled"
	StatusDone      = "done"
	StatusFailed    = "failed"
	StatusCancelled = "cancelled"
)

// JobStatuses are the words of Job.Status.
var JobStatuses = []string{StatusQueued, StatusRunning, StatusStalled, StatusDone, StatusFailed, StatusCancelled}

// Job is one piece of work that outlives the request that started it.
type Job struct {
	ID              string          `json:"id"`
	Kind            string          `json:"kind"`
	GroupID         *uint32         `json:"group_id"` // null: several groups, or all
	Target          *string         `json:"target"`
	Mode            *string         `json:"mode"`
	Verdict         *string         `json:"verdict"`
	Reason          *string         `json:"reason"`
	Stage           *string         `json:"stage"`
	Sources         []JobSource     `json:"sources"`
	PlannedBytes    int64           `json:"planned_bytes"`
	PlannedS        float64         `json:"planned_s"`
	BytesDone       int64           `json:"bytes_done"`
	BytesTotal      int64           `json:"bytes_total"`
	LeavesTotal     int64           `json:"leaves_total"`
	LeavesEqual     int64           `json:"leaves_equal"`
	LeavesMissing   int64           `json:"leaves_missing"`
	LeavesDiffering int64           `json:"leaves_differing"`
	LeavesOrphan    int64           `json:"leaves_orphan"`
	Rate            float64         `json:"rate"` // bytes/s
	EtaS            *float64        `json:"eta_s"`
	Attempt         int             `json:"attempt"`
	FenceMs         float64         `json:"fence_ms"`
	BlockedBy       *string         `json:"blocked_by"`
	StartedAt       Time            `json:"started_at"`
	LastProgressAt  Time            `json:"last_progress_at"`
	FinishedAt      Time            `json:"finished_at"`
	Status          string          `json:"status"`
	Error           *string         `json:"error"`
	Code            *Code           `json:"code"`   // of the error, where it has one
	Result          json.RawMessage `json:"result"` // null, VerifyResult, TrimResult
	// QueuedS is how long it waited for its turn, of the time since started_at, in seconds. What is left is the job's own,
	// to be compared with planned_s.
	QueuedS float64 `json:"queued_s"`
}

// JobSource is one node that gave bytes to a job.
type JobSource struct {
	Node  string `json:"node"`
	Bytes int64  `json:"bytes"`
}

// JobList is a page of jobs, newest first.
type JobList struct {
	Jobs          []Job  `json:"jobs"`
	NextPageToken string `json:"next_page_token"`
}

// Final reports whether the job has ended.
func (j *Job) Final() bool {
	return j.Status == StatusDone || j.Status == StatusFailed || j.Status == StatusCancelled
}

// TrimResult is what a trim job did.
type TrimResult struct {
	Groups  int           `json:"groups"`
	Trimmed []TrimReplica `json:"trimmed"`
	Held    []TrimReplica `json:"held"`    // live replicas for which the others keep entries
	Offline []TrimReplica `json:"offline"` // named, and no failure
	Failed  []TrimReplica `json:"failed"`
}

// TrimReplica is one replica of a trim job.
type TrimReplica struct {
	GroupID uint32 `json:"group_id"`
	Node    string `json:"node"`
	Detail  string `json:"detail"`
	// LogFirst is where its log begins now; of an offline one, where those of
	// the others do: what it lacks of before that only a copy can give it. Null:
	// not known, or nothing is gone.
	LogFirst *uint64 `json:"log_first"`
}

// StepDownResult is what a step-down job did.
type StepDownResult struct {
	GroupID uint32  `json:"group_id"`
	From    string  `json:"from"`
	To      *string `json:"to"`
	Already bool    `json:"already"` // it led before: nothing was done
}
