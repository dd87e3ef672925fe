package gateway

import (
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// Own is what this node knows without asking anybody: the part of the tables
// that it gives, and the others as it sees them.
type Own struct {
	Replicas []ReplicaStatus // of this node, by group
	Jobs     []api.Job       // of this node, in no order
	Proofs   map[uint32]api.Time
	DiskFree int64             // bytes
	ClockMs  *int64            // how far this node's clock is ahead; null: not known
	Nodes    map[string]string // state of each node, as this one sees it, by name
	Assigned int               // groups that exist
	Proving  Proving
}

// Own gives it. It costs no message.
func (g *Gateway) Own() Own {
	r := g.report()
	t := g.cfg.Directory.Table()
	own := Own{Replicas: r.Replicas, Jobs: g.jobs.list(""), Proofs: r.Proofs, DiskFree: r.DiskFree, ClockMs: r.ClockMs,
		Nodes: make(map[string]string, len(t.Nodes)), Assigned: len(t.Assignments), Proving: g.proving(r.Replicas)}
	for name, n := range t.Nodes {
		state, _ := g.seen(n)
		own.Nodes[name] = state.String()
	}
	return own
}

// NoteProof remembers that a copy of a group was proven equal now: it counts
// for the group's last_proof_at as a check does.
func (g *Gateway) NoteProof(group uint32) { g.proofs.note(group, time.Now()) }
