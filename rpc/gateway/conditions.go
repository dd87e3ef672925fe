package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// conditionsAge is how old what a check knows of its replicas may be.
const conditionsAge = 5 * time.Second

// condition is how a replica stands, as far as that decides whether a check
// waits for it.
type condition struct {
	state   string // "" where nobody told
	why     string
	cut     bool // its group's log begins behind what it has: it gets to no later cut
	applied uint64
	commit  uint64 // of its group
	role    string
	// suspicion is what is held against it, as its node says; nil: nothing.
	suspicion *antientropy.Suspicion
}

// describe says why a replica has not got to where the others are.
func (c condition) describe() string {
	switch {
	case c.why != "":
		return c.why
	case c.state == "":
		return "it does not answer"
	}
	return fmt.Sprintf("it has applied up to %d of %d", c.applied, c.commit)
}

// conditions keeps what all nodes said last, for the groups of one check: each
// answer is about all groups of a node.
type conditions struct {
	g *Gateway

	mu      sync.Mutex // held while the nodes are asked
	at      time.Time
	reports map[string]nodeReport
}

// of gives the condition of each replica of a group by its node, not older than
// age.
func (k *conditions) of(ctx context.Context, a membership.Assignment, age time.Duration) map[string]condition {
	asked := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reports == nil || k.at.Before(asked.Add(-age)) {
		k.at = time.Now()
		k.reports = k.g.reports(ctx, k.g.cfg.Directory.Table())
	}
	return conditionsOf(a, k.reports)
}

// forget has the nodes asked again: something was done to a replica.
func (k *conditions) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reports = nil
}

// conditionsOf reads them out of the reports. What the leader knows of a replica
// counts only as long as the logs, too, say that one cannot follow the other.
func conditionsOf(a membership.Assignment, reports map[string]nodeReport) map[string]condition {
	row := groupRow(a, reports)
	var leader *ReplicaStatus
	if row.Leader != nil {
		leader = statusOf(reports[*row.Leader], a.Group)
	}
	out := make(map[string]condition, len(row.Replicas))
	for i := range row.Replicas {
		r := &row.Replicas[i]
		c := condition{state: r.State, why: r.Why, applied: r.AppliedIndex, commit: row.CommitIndex}
		c.role = r.Role
		if s := statusOf(reports[r.Node], a.Group); s != nil {
			c.suspicion = s.Suspicion
		}
		if r.State == api.ReplicaOffline {
			c = condition{why: r.Why}
		}
		if leader != nil && leader.Behind[r.Node] != "" && r.LogLast+1 < leader.Replica.LogFirst {
			c.cut, c.why = true, leader.Behind[r.Node]
		}
		out[r.Node] = c
	}
	return out
}
