package raftgroup

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/internal/pause"
)

// A suspect replica keeps its vote, and leads only where nobody else can: no
// leadership is handed to it, failover takes it for one that is not ready, and
// its timers are twice those of others. Where it leads all the same, it serves as
// a leader, but for the suspect leaves, and hands over as soon as a voter that is
// not suspect can take over: at once where there is one, else within
// suspectHandOverMax of the moment when there is.
//
// Nothing goes into its log meanwhile (seal.go), or the candidate would not be
// given a vote. Where one is lost all the same, since the candidate took longer
// than handOverPause, failover sees a group without a leader in three
// looks, half a second apart, and has one campaign: 1 to 2 s, if that one wins.

const (
	suspectHandOverFirst = 100 * time.Millisecond
	suspectHandOverMax   = 5 * time.Second
)

// suspect acts on a change of what is held against this replica.
func (in *instance) suspect(was, now suspicions) {
	distrust(in.shard, was, now)
	if wrong := now.wrong != nil; in.isSuspect.Swap(wrong) != wrong {
		in.reload()
		select {
		case in.nudge <- struct{}{}:
		default:
		}
	}
}

// passOn begins to look for another leader in place of a suspect one. The watch
// calls it.
func (in *instance) passOn() {
	if !in.isSuspect.Load() || in.raft.State() != raft.Leader || in.handsOver.Swap(true) {
		return
	}
	in.wg.Go(func() {
		defer in.handsOver.Store(false)
		ctx, cancel := in.whileOpen()
		defer cancel()
		for wait := suspectHandOverFirst; in.isSuspect.Load() && in.raft.State() == raft.Leader; wait = min(2*wait, suspectHandOverMax) {
			limited, done := context.WithTimeout(ctx, damageHandOver)
			in.giveUp(limited)
			done()
			if pause.For(ctx, wait) != nil {
				return
			}
		}
	})
}
