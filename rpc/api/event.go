package api

// The words of Event.Kind.
const (
	EventReplica = "replica" // a replica changed its state
	EventCheck   = "check"   // a check was skipped, or a group checks equal again
	EventFinding = "finding" // a check, a scrub or a read found something
	EventRepair  = "repair"  // a repair began or ended
	EventJob     = "job"     // a job ended
	EventNode    = "node"    // a node went away or came back
	EventDrill   = "drill"   // a drill has damaged a replica
)

// EventKinds are the words of Event.Kind.
var EventKinds = []string{EventReplica, EventCheck, EventFinding, EventRepair, EventJob, EventNode, EventDrill}

// Event is one thing that happened. Its id is that of the node which answers:
// it rises there with each event, over restarts too, and means nothing to
// another node.
type Event struct {
	ID      uint64  `json:"id"`
	Time    Time    `json:"time"`
	Kind    string  `json:"kind"`
	GroupID *uint32 `json:"group_id"` // null: it is not about one group
	Node    string  `json:"node"`     // whose replica, job or life it is about
	Text    string  `json:"text"`
}
