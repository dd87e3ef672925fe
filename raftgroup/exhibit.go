package raftgroup

import "github.com/flotilla-db/flotilla/storage/digest"

// Exhibit says why an install replaces what is there, for the report that is kept
// with the old bytes in groups/<id>/quarantine.
type Exhibit struct {
	Job  string   // its id
	Why  string   // one line
	Good []string // the replicas that it was judged by
	// Leaves are those whose old bytes are kept, beside those that are suspect.
	Leaves []digest.Leaf
}
