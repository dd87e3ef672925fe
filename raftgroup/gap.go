package raftgroup

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

const (
	// gapLife is how long an alarm stands: it is repeated while the peer's install
	// is waited for, and by Raft at least every 10 s after that.
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

// errGap makes Raft try the peer again, ever more rarely.
var errGap = errors.New("behind the log")

const (
	// gapProbe is the pause between two questions to a peer for which a record is
	// held, and the least time between two equal answers of success.
	gapProbe = 100 * time.Millisecond
	// gapLook is that pause while no job of the group has come so far.
	gapLook = time.Second
	// gapWait bounds the wait for an install: Raft's next try comes up to 10 s
	// after an error, and then waits again.
	gapWait = 5 * time.Minute
)

// gap is what Raft is told in place of an InstallSnapshot, which never crosses.
// A peer that contains the recorded entry needs none: success, and Raft goes on
// at the next entry. One in a higher term: that term, no success. Otherwise the
// alarm, and the peer's install is waited for: after an error Raft would leave
// the peer alone for up to 10 s, and an installed one with it. What waits is the
// replication to this peer only; heartbeats go on.
func (in *instance) gap(peer membership.ServerID, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse) error {
	resp.Term, resp.Success = req.Term, false
	entry := storage.Position{Index: req.LastLogIndex, Term: req.LastLogTerm}
	ctx, cancel := in.whileOpen()
	defer cancel()
	for begun := time.Now(); ; {
		changed := in.gaps.changed()
		c, err := in.askContains(ctx, peer, entry)
		switch {
		case err == nil && c.here && c.currentTerm > req.Term:
			resp.Term = c.currentTerm
			return nil
		case err == nil && c.contains && !in.goesOn(entry.Index):
			// The record is not the one that is listed now: Raft has to look again.
			in.gaps.raise(peer, entry.Index)
			return fmt.Errorf("the log does not go on behind entry %d of group %d: %w", entry.Index, in.group, errGap)
		case err != nil || !c.contains:
			in.gaps.raise(peer, entry.Index)
		case !in.gaps.again(peer, entry.Index):
			resp.Success = true
			in.gaps.settle(peer)
			return nil
		}
		term, leads := in.leads()
		_, member := suffrageOf(in.configuration(), peer)
		if !leads || !member || term != req.Term || time.Since(begun) > gapWait {
			return fmt.Errorf("%s of group %d needs an entry at or below %d: %w", peer, in.group, entry.Index, errGap)
		}
		pause := gapLook
		if h := in.records.current(); h != nil {
			pause = gapProbe
			if h.at != entry {
				// The peer is brought to that one, and may never get this one but by Raft.
				return fmt.Errorf("entry %d of group %d is the record now, not %d: %w", h.at.Index, in.group, entry.Index, errGap)
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
		case <-in.stop:
			timer.Stop()
			return fmt.Errorf("group %d: %w", in.group, ErrClosed)
		}
	}
}

// goesOn reports whether this log can send what comes after an entry. Raft would
// turn in a hot loop otherwise: it takes a success for progress and does not pause.
func (in *instance) goesOn(index uint64) bool {
	if _, ok := in.termOf(index); !ok {
		return false
	}
	if in.raft.LastIndex() <= index {
		return true
	}
	var entry raft.Log
	return in.entries.GetLog(index+1, &entry) == nil
}

// gapAlarm keeps the gaps that a leader met.
type gapAlarm struct {
	mu     sync.Mutex
	gaps   []Gap                            // guarded by mu
	closed map[membership.ServerID]closedAt // guarded by mu; the last answer of success
	woken  chan struct{}                    // guarded by mu; nil: nobody waits
}

type closedAt struct {
	index uint64
	at    time.Time
}

// raise notes that a peer's log does not reach ours: Raft would have sent the
// record at snapshot.
func (a *gapAlarm) raise(peer membership.ServerID, snapshot uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for i := range a.gaps {
		if a.gaps[i].Peer == peer {
			a.gaps[i].SnapshotIndex, a.gaps[i].last = snapshot, now
			return
		}
	}
	if len(a.gaps) < maxGaps {
		a.gaps = append(a.gaps, Gap{Peer: peer, Since: now, SnapshotIndex: snapshot, last: now})
	}
}

// settle ends the alarm of a peer.
func (a *gapAlarm) settle(peer membership.ServerID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gaps = slices.DeleteFunc(a.gaps, func(g Gap) bool { return g.Peer == peer })
}

// again reports whether success was answered for the same peer and entry just
// now, and notes this answer if not: whatever makes Raft come back, it comes in
// steps of gapProbe.
func (a *gapAlarm) again(peer membership.ServerID, index uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if c := a.closed[peer]; c.index == index && now.Sub(c.at) < gapProbe {
		return true
	}
	if a.closed == nil || len(a.closed) >= maxGaps {
		a.closed = make(map[membership.ServerID]closedAt)
	}
	a.closed[peer] = closedAt{index, now}
	return false
}

// standing lists the gaps that are still being met.
func (a *gapAlarm) standing() []Gap {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gaps = slices.DeleteFunc(a.gaps, func(g Gap) bool { return time.Since(g.last) > gapLife })
	return slices.Clone(a.gaps)
}

// changed is closed when the peers are to be asked again.
func (a *gapAlarm) changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.woken == nil {
		a.woken = make(chan struct{})
	}
	return a.woken
}

// wake has all peers asked again: one of them has just started, installed perhaps,
// or another record is listed.
func (a *gapAlarm) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.woken != nil {
		close(a.woken)
		a.woken = nil
	}
}

func (a *gapAlarm) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gaps, a.closed = nil, nil
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
