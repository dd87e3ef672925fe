package raftgroup

import (
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

const (
	// gapLife is how long an alarm stands: Raft repeats it at least every 10 s
	// while the peer is behind.
	gapLife = 25 * time.Second
	// maxGaps bounds the alarms that one group keeps.
	maxGaps = 16
)

// Gap is a peer that this leader's log no longer reaches.
type Gap struct {
	Peer  membership.ServerID
	Since time.Time
	// SnapshotIndex is the record that Raft would have sent: the log begins
	// behind what the peer needs, and the peer needs a resync up to there.
	SnapshotIndex uint64

	last time.Time // of the latest alarm
}

// gapAlarm keeps the gaps that a leader met.
type gapAlarm struct {
	mu   sync.Mutex
	gaps []Gap // guarded by mu
}

// raise is called by the transport in place of an InstallSnapshot.
func (a *gapAlarm) raise(peer membership.ServerID, req *raft.InstallSnapshotRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for i := range a.gaps {
		if a.gaps[i].Peer == peer {
			a.gaps[i].SnapshotIndex, a.gaps[i].last = req.LastLogIndex, now
			return
		}
	}
	if len(a.gaps) < maxGaps {
		a.gaps = append(a.gaps, Gap{Peer: peer, Since: now, SnapshotIndex: req.LastLogIndex, last: now})
	}
}

// standing lists the gaps that are still being met.
func (a *gapAlarm) standing() []Gap {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gaps = slices.DeleteFunc(a.gaps, func(g Gap) bool { return time.Since(g.last) > gapLife })
	return slices.Clone(a.gaps)
}

func (a *gapAlarm) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gaps = nil
}

// Gaps are the peers that the log of this leader no longer reaches; none of a
// replica that does not lead.
func (g *Group) Gaps() []Gap {
	in, err := g.running()
	if err != nil || in.raft.State() != raft.Leader {
		return nil
	}
	return in.gaps.standing()
}
