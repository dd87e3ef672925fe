package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

// A replica that waits for an install stays a voter, or a group that has lost
// another one would stand still for as long as a copy takes. So its instance goes
// on: it votes, answers heartbeats and takes entries into its log. Only its shard
// stands still, as the base of the copy: the FSM drops what it is handed, and the
// instance can apply nothing afterwards; it is started again when the hold ends.
//
// It serves nothing, drops no log, takes no snapshot and is no source. It leads
// only where nobody else can win, since its log is the longest: its timers are
// twice those of others, and once it leads it hands over as soon as another voter
// has its log.

var (
	// ErrHeld: another owner holds the replica or the record. Wait for its end.
	ErrHeld = errors.New("held for another job")
	// ErrHoldEnded: the hold was released, or an install has ended it. Take a new
	// one.
	ErrHoldEnded = errors.New("hold has ended")
)

const (
	// heldPatience is how much longer a held replica waits than others before it
	// campaigns.
	heldPatience = 2
	// heldHandOver is the pause between two tries of a held leader.
	heldHandOver = 100 * time.Millisecond
)

// Hold is a replica that waits for an install. See Group.TakeHold.
type Hold struct {
	group *Group
	owner string

	view    *storage.View  // of the base; nil: nothing can be read
	base    *storage.Shard // guarded by group.opening; opened for the hold where no instance runs
	lineage string         // of base
	over    bool           // guarded by group.opening
}

// StageFile is the name of the staged shard in StagingDir.
const StageFile = "shard.db"

// StagingDir is where a resync of this group keeps what it has fetched. The
// directory need not exist.
func (g *Group) StagingDir() string { return g.host.stagingDir(g.id) }

func (h *Host) stagingDir(group uint32) string {
	return filepath.Join(filepath.Dir(h.shardPath(group)), "staging")
}

// TakeHold makes the replica wait for an install: everything that is applied is
// flushed, and from then on the shard does not change. A replica that runs goes
// on voting and takes entries into its log; one that does not run stays closed
// while it is held. A leader hands over first, and is not held if nobody takes
// over. ErrHeld while another owner holds it; the same owner gets its hold back.
// A hold does not outlive the process.
func (g *Group) TakeHold(ctx context.Context, owner string) (*Hold, error) {
	if err := g.opening.lock(ctx); err != nil {
		return nil, fmt.Errorf("hold group %d: %w", g.id, err)
	}
	defer g.opening.Unlock()
	if h := g.currentHold(); h != nil {
		if h.owner != owner {
			return nil, fmt.Errorf("hold group %d: owner is %s: %w", g.id, h.owner, ErrHeld)
		}
		return h, nil
	}
	if g.host.closing() {
		return nil, fmt.Errorf("hold group %d: %w", g.id, ErrClosed)
	}
	h := &Hold{group: g, owner: owner}
	in, err := g.running()
	if err == nil {
		h.view, err = in.hold(ctx)
	} else {
		err = h.openBase(ctx)
	}
	if err != nil {
		if in != nil && in.held() { // it has dropped entries: only a new instance can apply them
			err = errors.Join(err, g.stopBriefly("starts again: it was not held"), g.start(g.wanted, nil))
		}
		return nil, fmt.Errorf("hold group %d: %w", g.id, err)
	}
	g.setHold(h)
	return h, nil
}

// View is the static base, nil where nothing here can be read. It belongs to
// the hold: do not close it, and do not use it once Install or Release is called.
// It answers errors once the instance under it was stopped (damage, a shutdown).
func (h *Hold) View() *storage.View { return h.view }

// Release ends the hold without an install: the replica starts again, if it
// runs, and applies from its log. After an end it does nothing.
func (h *Hold) Release(context.Context) error {
	g := h.group
	g.opening.Lock()
	defer g.opening.Unlock()
	if h.over {
		return nil
	}
	err := h.end()
	in, closed := g.running()
	if closed != nil || g.host.closing() {
		return err
	}
	if in.release() {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), damageHandOver)
	defer cancel()
	g.giveUpLead(ctx)
	err = errors.Join(err, g.stopBriefly("starts again after a resync"))
	if err := errors.Join(err, g.start(g.wanted, nil)); err != nil {
		return fmt.Errorf("release group %d: %w", g.id, err)
	}
	return nil
}

// end gives back what the hold has; the instance is the caller's to care for,
// who holds opening.
func (h *Hold) end() error {
	h.over = true
	h.group.setHold(nil)
	return h.closeBase()
}

// closeBase ends the view and closes the shard that was opened for it. The
// caller holds opening.
func (h *Hold) closeBase() error {
	var err error
	if h.view != nil {
		err = h.view.Close()
	}
	if h.base != nil {
		err = errors.Join(err, h.base.Close())
		h.base = nil
	}
	return err
}

// openBase opens the shard's file of a group that does not run, whatever lineage
// it is of. What cannot be read, or is in quarantine, is no base.
func (h *Hold) openBase(ctx context.Context) error {
	host, group := h.group.host, h.group.id
	shard, lineage, err := host.openQuietly(group)
	if shard == nil || err != nil {
		return err
	}
	view, err := shard.Look(ctx)
	switch {
	case errors.Is(err, storage.ErrDamaged):
		return shard.Close()
	case err != nil:
		return errors.Join(err, shard.Close())
	}
	h.base, h.view, h.lineage = shard, view, lineage
	return nil
}

func (g *Group) currentHold() *Hold {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.hold
}

func (g *Group) setHold(h *Hold) {
	g.mu.Lock()
	g.hold = h
	g.mu.Unlock()
	if g.host.config.OnChange != nil {
		g.host.config.OnChange(g.id)
	}
}

// held reports whether this replica waits for an install.
func (in *instance) held() bool { return in.isHeld.Load() }

// serves is leads for a replica that may act as a leader.
func (in *instance) serves() (term uint64, ok bool) {
	term, ok = in.leads()
	return term, ok && !in.held()
}

// hold stops the shard where it is, flushed, and gives a view of it. A shard
// that turns out damaged is no base, and leaves for quarantine.
func (in *instance) hold(ctx context.Context) (*storage.View, error) {
	in.isHeld.Store(true) // from here on it takes no client
	view, err := func() (*storage.View, error) {
		if in.raft.State() == raft.Leader {
			ctx, cancel := context.WithTimeout(ctx, damageHandOver)
			in.giveUp(ctx)
			cancel()
			if in.raft.State() == raft.Leader {
				return nil, fmt.Errorf("it leads: %w", ErrNoTarget)
			}
		}
		if err := in.fsm.drop(ctx); err != nil {
			return nil, err
		}
		return in.shard.Look(ctx)
	}()
	if errors.Is(err, storage.ErrDamaged) {
		view, err = nil, nil
	}
	if err != nil {
		in.release()
		return nil, err
	}
	in.reload()
	return view, nil
}

// release ends the hold of a running instance; false if it has to be started
// again for that: it has dropped entries.
func (in *instance) release() bool {
	if !in.fsm.resume() {
		return false
	}
	in.isHeld.Store(false)
	in.reload()
	if in.raft.State() == raft.Leader { // it may have begun to lead while it was held
		in.lead()
	}
	return true
}

// timersNow are Raft's, longer while the replica is held, or suspect.
func (in *instance) timersNow() Timers {
	t := in.timers
	if in.held() || in.isSuspect.Load() {
		t.Heartbeat, t.Election = heldPatience*t.Heartbeat, heldPatience*t.Election
	}
	return t
}

// reload tells Raft the timers.
func (in *instance) reload() {
	config := in.raft.ReloadableConfig()
	t := in.timersNow()
	config.HeartbeatTimeout, config.ElectionTimeout = t.Heartbeat, t.Election
	if err := in.raft.ReloadConfig(config); err != nil {
		in.log.Warn("timers stay as they are", "error", err)
	}
}

// handOver has another voter lead in place of a held replica, as soon as one can.
func (in *instance) handOver() {
	ctx, cancel := in.whileOpen()
	defer cancel()
	for in.held() && in.raft.State() == raft.Leader {
		in.giveUp(ctx)
		if pause.For(ctx, heldHandOver) != nil {
			return
		}
	}
}
