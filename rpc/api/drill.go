package api

// JobDrill damages one replica on purpose, and measures what becomes of it.
const JobDrill = "drill"

// The kinds of damage of a drill.
const (
	DrillBitflip   = "bitflip"   // a bit of a stored block flips in shard.db
	DrillTruncate  = "truncate"  // shard.db loses its end, with stored blocks in it
	DrillStale     = "stale"     // shard.db is again what it was before its last commit
	DrillDivergent = "divergent" // a value of one point is another, and every digest fits it
	DrillMissing   = "missing"   // points of one device are gone, and every digest fits that
)

// DrillKinds are all of them.
var DrillKinds = []string{DrillBitflip, DrillTruncate, DrillStale, DrillDivergent, DrillMissing}

// DrillResult is what came of a drill.
type DrillResult struct {
	GroupID     uint32    `json:"group_id"`
	Node        string    `json:"node"`
	Kind        string    `json:"kind"`
	Leader      bool      `json:"leader"` // the replica led its group
	Damage      string    `json:"damage"` // what was done, one line
	DamagedAt   Time      `json:"damaged_at"`
	Detected    bool      `json:"detected"`
	DetectedBy  string    `json:"detected_by"`  // one line, "" while it is not
	DetectionMs *int64    `json:"detection_ms"` // from the damage on; null: not detected
	Repaired    bool      `json:"repaired"`     // every replica is ready, and equal at a later cut
	RepairMs    *int64    `json:"repair_ms"`    // from the detection on; null: not repaired
	Checks      int       `json:"checks"`       // that were made
	Findings    []Finding `json:"findings"`     // of all of them
	Why         string    `json:"why"`          // why it is not repaired, "" when it is
}

// Held reports whether the damage was found and repaired.
func (r *DrillResult) Held() bool { return r.Detected && r.Repaired }
