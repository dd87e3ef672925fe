package raftgroup

import (
	"context"
	"time"
)

// damageHandOver bounds the wait for another leader of a damaged replica.
const damageHandOver = 2 * time.Second

// damaged takes a replica out of service whose shard's structure is bad: it
// hands its leadership over, if it has one, and stops.
func (h *Host) damaged(group uint32, cause error) {
	h.takeOut(group, func(g *Group) {
		h.config.Logger.Error("replica goes to quarantine", "group", group, "error", cause)
		if err := g.stop(ReplicaQuarantined, "shard is damaged: "+cause.Error()); err != nil {
			h.config.Logger.Error("damaged replica did not close cleanly", "group", group, "error", err)
		}
	})
}

// LogDamaged starts a group again whose log has an entry that cannot be read:
// stopping flushes what is applied, and opening drops the log behind it, or
// begins a new generation if the entry lies above that. It does not wait, and
// may be called from the log's own read.
func (h *Host) LogDamaged(group uint32, cause error) {
	h.takeOut(group, func(g *Group) {
		if _, err := g.running(); err != nil {
			return // reported twice
		}
		h.config.Logger.Error("log is damaged: the replica starts again", "group", group, "error", cause)
		err := g.stop(ReplicaSyncing, "log is damaged: "+cause.Error())
		if err == nil {
			err = g.start(g.wanted)
		}
		if err != nil {
			h.config.Logger.Error("replica with a damaged log did not start again", "group", group, "error", err)
		}
	})
}

// takeOut hands the group's leadership over and then acts, while the group is
// neither opened nor stopped by anyone else.
func (h *Host) takeOut(group uint32, act func(*Group)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groups[group]
	if h.closed || g == nil {
		return
	}
	h.workers.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), damageHandOver)
		defer cancel()
		if g.IsLeader() {
			_ = g.StepDown(ctx) // if nobody takes it, Raft elects without this one
		}
		g.opening.Lock()
		defer g.opening.Unlock()
		select {
		case <-h.stop: // Close stops the group
			return
		default:
		}
		act(g)
		if h.config.OnChange != nil {
			h.config.OnChange(group)
		}
	})
}
