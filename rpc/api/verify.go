package api

// VerifyRequest is the body of POST /v1/admin/verify.
type VerifyRequest struct {
	Groups []uint32 `json:"groups"` // none: all that exist
	Mode   string   `json:"mode"`   // verify or advanced-verify (""): the words of VerifyResult.Mode
	// Deep has every replica re-read all that it stores: blocks, structure, log
	// records and votes, whatever its digests say.
	Deep bool `json:"deep"`
	// Repair brings a replica that the judge found wrong to equality, and checks
	// again at a later cut.
	Repair bool `json:"repair"`
}

// The words of VerifyResult.Mode.
const (
	ModeVerify         = "verify"
	ModeAdvancedVerify = "advanced-verify"
)

// The words of Finding.Kind.
const (
	FindingData     = "data"
	FindingMetadata = "metadata" // structure, digests, votes
	FindingFree     = "free"
	FindingLog      = "log"
)

// The words of Finding.Verdict: the judge's.
const (
	FoundWrong      = "wrong"
	FoundUnreadable = "unreadable"
	FoundDisputed   = "disputed"
	FoundHarmless   = "harmless"
)

// The words of Finding.Action.
const (
	ActionRepaired = "repaired"
	ActionNone     = "none"
	ActionHarmless = "harmless"
	ActionFailed   = "failed"
)

// VerifyResult is what `verify` found.
type VerifyResult struct {
	Mode            string      `json:"mode"`
	Deep            bool        `json:"deep"`
	GroupsTotal     int         `json:"groups_total"`
	GroupsEqual     int         `json:"groups_equal"`
	GroupsDamaged   int         `json:"groups_damaged"`
	GroupsRepaired  int         `json:"groups_repaired"`
	GroupsUnchecked int         `json:"groups_unchecked"`
	BytesRead       int64       `json:"bytes_read"`
	DurationMs      int64       `json:"duration_ms"`
	FindingsTotal   int         `json:"findings_total"` // there may be more than are listed
	Findings        []Finding   `json:"findings"`
	Unchecked       []Unchecked `json:"unchecked"`
}

// Finding is one difference. Window and slot are null where it is about no leaf,
// the times where nobody can say which points it touches.
type Finding struct {
	GroupID uint32   `json:"group_id"`
	Node    string   `json:"node"`
	Kind    string   `json:"kind"` // data, metadata, free, log
	Window  *int64   `json:"window"`
	Slot    *int     `json:"slot"`
	From    Time     `json:"from"`
	To      Time     `json:"to"`
	Devices []string `json:"devices"`
	Verdict string   `json:"verdict"` // wrong, unreadable, disputed, harmless
	Action  string   `json:"action"`  // repaired, none, harmless, failed
	Detail  string   `json:"detail"`  // one line: what each replica says
}

// Unchecked is a group that could not be checked on all assigned replicas.
type Unchecked struct {
	GroupID uint32 `json:"group_id"`
	Reason  string `json:"reason"`
}

// ExitCode is the exit code of `verify` for this result: 0 every group was
// checked on all assigned replicas and equal at the end, 5 a difference is
// left, 6 none different but some not fully checked.
func (r *VerifyResult) ExitCode() int {
	switch {
	case r.GroupsDamaged > r.GroupsRepaired:
		return 5
	case r.GroupsUnchecked > 0:
		return 6
	}
	return 0
}
