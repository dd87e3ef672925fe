package raftgroup

import (
	"context"
	"errors"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
)

const (
	// damageHandOver bounds the wait for another leader of a damaged replica.
	damageHandOver = 2 * time.Second
	// handOverPause is how long writes wait for that at most: longer than for a
	// planned transfer. Given up while the other one campaigns already, it would
	// go on writing, and nobody would have the votes.
	handOverPause = 500 * time.Millisecond
	// handOverAgain is the pause before another try while the fence is held.
	handOverAgain = 5 * time.Millisecond
)

// damaged takes a replica out of service whose shard's structure is bad: it
// hands its leadership over, if it has one, and stops. A file that was replaced
// meanwhile takes the damage with it.
func (h *Host) damaged(group uint32, cause error) {
	g, known := h.Group(group)
	if !known {
		return
	}
	file := g.filesSoFar()
	h.takeOut(group, func(g *Group) {
		if g.filesSoFar() == file {
			g.quarantine(cause)
		}
	})
}

// LogDamaged starts a group again whose log has an entry that cannot be read:
// stopping flushes what is applied, and opening writes anew what is in memory
// still and drops the log through the other bad ones, which the shard holds by
// then. It does not wait, and may be called from the log's own read. Further
// reports of the same instance are about the same start.
func (h *Host) LogDamaged(group uint32, cause error) {
	g, known := h.Group(group)
	if !known {
		return
	}
	in, err := g.running()
	if err != nil || in.rotten.Swap(true) {
		return // being opened, which reads the whole log, or reported already
	}
	h.takeOut(group, func(g *Group) {
		if now, err := g.running(); err != nil || now != in {
			return // stopped and started meanwhile
		}
		err := g.stopBriefly("log is damaged: " + cause.Error())
		if err == nil {
			err = g.start(g.wanted, cause)
		}
		if err != nil {
			h.config.Logger.Error("replica with a damaged log did not start again", "group", group, "damage", cause, "error", err)
		}
	})
}

// reportDamage says in one line what became of a damaged log. found is what made
// a running replica start again, nil at any other start.
func (o *opening) reportDamage(found error) {
	log := o.host.config.Logger.With("group", o.group)
	switch {
	case found != nil && o.dropped > 0:
		log.Error("log was damaged: dropped through the bad entry, which the shard holds, and started again", "through", o.dropped, "damage", found)
	case found != nil:
		log.Error("log was damaged: written anew from memory, and started again", "damage", found)
	case o.dropped > 0:
		log.Warn("log was damaged: dropped through the bad entry, which the shard holds", "through", o.dropped, "damage", o.damage)
	}
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
		g.giveUpLead(ctx)
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

// giveUpLead hands the leadership over, once a transfer that holds the fence has
// ended. If nobody takes it in time, Raft elects without this replica.
func (g *Group) giveUpLead(ctx context.Context) {
	for g.IsLeader() {
		if err := g.TransferLeadership(ctx, membership.ServerID{}, handOverPause); !errors.Is(err, ErrFenced) || pause.For(ctx, handOverAgain) != nil {
			return
		}
	}
}
