package directory

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// votersEvery is how often the leader looks who is there and whether its own
// configuration should change. It asks other nodes only when it should grow.
const votersEvery = time.Second

// followLeadership runs the leader's loop while this node leads. Each event
// restarts it: raft's channel keeps only the latest one, and a leader of a
// later term must apply all before it acts. An instance that was replaced says
// nothing any more.
func (d *Directory) followLeadership(ctx context.Context) {
	var lead sync.WaitGroup
	stop := func() {}
	defer func() {
		stop()
		lead.Wait()
	}()
	for {
		leads := false
		select {
		case <-ctx.Done():
			return
		case leads = <-d.raft().LeaderCh():
		case <-d.running.replaced:
		}
		stop()
		lead.Wait()
		stop = func() {}
		if leads {
			leaderCtx, cancel := context.WithCancel(ctx)
			stop = cancel
			lead.Go(func() { d.lead(leaderCtx) })
		}
	}
}

// lead is the life of one leadership.
func (d *Directory) lead(ctx context.Context) {
	if !d.becomeReady(ctx) {
		return
	}
	defer d.ready.Store(0)
	d.logger.Info("leads the meta group", "term", d.ready.Load())
	seen := newPresence()
	voters := time.NewTicker(votersEvery)
	defer voters.Stop()
	poll := time.NewTimer(d.cfg.Timers.Poll)
	defer poll.Stop()
	for {
		t := d.Table()
		poll.Reset(cmp.Or(d.cfg.Policy(t).Poll, d.cfg.Timers.Poll))
		d.changeVoters(ctx, seen)
		d.assign(ctx)
	wait:
		for {
			select {
			case <-ctx.Done():
				return
			case <-voters.C:
				d.changeVoters(ctx, seen)
			case <-t.Changed():
				break wait
			case <-poll.C:
				break wait
			case <-d.poke:
				break wait
			}
		}
	}
}

// becomeReady waits until everything before this leadership is applied.
func (d *Directory) becomeReady(ctx context.Context) bool {
	for d.IsLeader() {
		in := d.raft()
		term := in.CurrentTerm()
		err := d.await(ctx, in, in.Barrier(0))
		if err == nil && d.IsLeader() && d.raft().CurrentTerm() == term {
			d.ready.Store(term)
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryMost):
		}
	}
	return false
}

// isReady reports whether this node leads and has applied all before.
func (d *Directory) isReady() bool { return d.ready.Load() != 0 && d.IsLeader() }

func (d *Directory) sendNudge() {
	select {
	case d.nudge <- struct{}{}:
	default:
	}
}

// sendNudges puts an empty command behind commits: followers learn of a commit
// with the next entry, else only after the commit timeout. Commits that come
// while one is under way share the next.
func (d *Directory) sendNudges(ctx context.Context) {
	nudge := Encode(nudgeCommand{})
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.nudge:
		}
		if voters, err := d.serverCount(); err != nil || voters < 2 {
			continue
		}
		// The outcome does not matter: if it is lost, the timeout serves.
		in := d.raft()
		_ = d.await(ctx, in, in.Apply(nudge, 0))
	}
}

func (d *Directory) serverCount() (int, error) {
	f := d.raft().GetConfiguration()
	if err := f.Error(); err != nil {
		return 0, err
	}
	return len(f.Configuration().Servers), nil
}
