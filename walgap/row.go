package walgap

import "fmt"

// Row is the condition of Judge's table that a verdict comes from: what reason says, for machines.
type Row uint8

// The rows.
const (
	Contradicts  Row = iota // the leader's report cannot be true: asked while its log changed
	Foreign                 // other cluster or group, or unreadable identity
	Uncommitted             // the leader has committed nothing in its term
	NoRecord                // no cut can commit, and the leader's record is below what the target has applied
	Damaged                 // the data failed their own checksums
	Empty                   // neither data nor log
	OtherLineage            // data of another history
	Diverged                // applied what the leader never had
	Level                   // the last entries are the same
	Connected               // the leader's log goes on where the target's ends
	Dear                    // it does, but replaying is dearer than copying
	Older                   // older data of this lineage
	Unknown                 // anything else
	Asked                   // a mode forces it
)

// Rows is how many there are.
const Rows = int(Asked) + 1

var rowNames = [Rows]string{
	Contradicts: "contradicts", Foreign: "foreign", Uncommitted: "uncommitted", NoRecord: "no-record", Damaged: "damaged", Empty: "empty",
	OtherLineage: "other-lineage", Diverged: "diverged", Level: "level", Connected: "connected", Dear: "dear", Older: "older",
	Unknown: "unknown", Asked: "asked",
}

// String is a short name, as in metrics and golden files.
func (r Row) String() string {
	if int(r) < Rows {
		return rowNames[r]
	}
	return fmt.Sprintf("row %d", r)
}
