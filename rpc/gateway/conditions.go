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
	lost    bool // neither it nor another one of its group can ever lead again: there is no cut
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

// conditions keeps what the nodes said last of the groups that are being checked.
type conditions struct {
	g *Gateway

	mu     sync.Mutex
	groups map[uint32]conditionsAt // guarded by mu: at most one of each group
}

type conditionsAt struct {
	at time.Time // when they were asked for
	of map[string]condition
}

func newConditions(g *Gateway) *conditions {
	return &conditions{g: g, groups: map[uint32]conditionsAt{}}
}

// of gives the condition of each replica of a group by its node, not older than
// age.
func (k *conditions) of(ctx context.Context, a membership.Assignment, age time.Duration) map[string]condition {
	now := time.Now()
	k.mu.Lock()
	known, some := k.groups[a.Group]
	k.mu.Unlock()
	if some && age > 0 && !known.at.Before(now.Add(-age)) {
		return known.of
	}
	known = conditionsAt{now, conditionsOf(a, k.g.reports(ctx, k.g.cfg.Directory.Table(), a.Group))}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.groups[a.Group] = known
	return known.of
}

// forget has the nodes asked again: something was done to a replica, or the check
// of the group is over.
func (k *conditions) forget(group uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.groups, group)
}

// conditionsOf reads them out of the reports. What the leader knows of a replica
// counts only as long as the logs, too, say that one cannot follow the other.
func conditionsOf(a membership.Assignment, reports map[string]nodeReport) map[string]condition {
	row := groupRow(a, reports)
	var leader *ReplicaStatus
	if row.Leader != nil {
		leader = statusOf(reports[*row.Leader], a.Group)
	}
	lost := false
	if row.Leader == nil {
		_, n, _ := ableOf(row.Replicas, a)
		lost = n == len(a.Nodes())
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
		if c.lost = lost; lost && len(a.Nodes()) == 1 {
			c.why = row.Why // with what a person can do
		}
		out[r.Node] = c
	}
	return out
}
