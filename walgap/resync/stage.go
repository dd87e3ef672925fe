package resync

import "fmt"

// Stage is where a job stands.
type Stage uint8

// The stages, in the order of a job that copies.
const (
	Plan    Stage = iota + 1 // the target reports itself, the leader takes a log lease and judges
	Hold                     // the replica goes on voting, and nothing else
	Cut                      // the group's state is pinned at an index, on every replica
	Explore                  // content ids are compared
	Fetch                    // leaves are pulled, verified and staged
	Install                  // proof, and the switch
	Replay                   // the log does the rest
	Promote                  // a new replica gets its vote
	Ending                   // hold, leases, views and staging are given back
	Ended                    // nothing is left to do
)

var stageNames = [...]string{Plan: "plan", Hold: "hold", Cut: "cut", Explore: "explore", Fetch: "fetch",
	Install: "install", Replay: "replay", Promote: "promote", Ending: "ending", Ended: "ended"}

// String is the name that jobs show.
func (s Stage) String() string {
	if s >= Plan && int(s) < len(stageNames) {
		return stageNames[s]
	}
	return fmt.Sprintf("stage %d", uint8(s))
}

// Outcome is how a stage ended.
type Outcome uint8

// The outcomes. What each leads to is in Transitions.
const (
	Passed     Outcome = iota + 1 // the stage did what it is for
	Equal                         // plan: there is no gap
	Bridgeable                    // plan: the log closes the gap
	Priced                        // a dry run knows all that it wanted to know
	Compared                      // plan of a dry run: leaves have to be compared to know the price
	Refused                       // asking again gives the same answer
	Moved                         // the leader, the lineage or the epoch changed, or the job's lease is gone
	ViewLost                      // no source has the cut pinned any more
	KnowsMore                     // install: the target's log holds more than the cut
	Unproven                      // install: the bytes on disk are not those of the cut
	NoRoom                        // the target's disk is full
	Broken                        // anything else: another attempt may do better
	Exhausted                     // Broken or Unproven, and there are no attempts left
	Cancel                        // an operator ended the job
)

var outcomeNames = [...]string{Passed: "passed", Equal: "equal", Bridgeable: "bridgeable", Priced: "priced",
	Compared: "compared", Refused: "refused", Moved: "moved", ViewLost: "view lost", KnowsMore: "knows more",
	Unproven: "unproven", NoRoom: "no room", Broken: "broken", Exhausted: "exhausted", Cancel: "cancel"}

// String is the outcome in words, for logs and tests.
func (o Outcome) String() string {
	if o >= Passed && int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Status is what a job has come to.
type Status string

// The statuses that jobs show, and Interrupted, which none does: the process ended before the job did, and Resume gives
// it back.
const (
	Running     Status = "running"
	Stalled     Status = "stalled"
	Done        Status = "done"
	Failed      Status = "failed"
	Cancelled   Status = "cancelled"
	Interrupted Status = "interrupted"
)

// Final reports whether the job has ended.
func (s Status) Final() bool { return s == Done || s == Failed || s == Cancelled }
