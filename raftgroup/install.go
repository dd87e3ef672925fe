package raftgroup

import (
	"context"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// An install replaces the shard of a held replica by a proven copy.
//
//  1. The stage is sealed, while the instance still votes.
//  2. The instance stops. Its log decides (installLog): kept whole, emptied, or
//     it knows more than the cut; then the old instance starts again.
//  3. The intent is written. From here on the install is finished, by this
//     process or by the next start, before Raft opens.
//  4. The shard is switched, the log emptied if so decided, CurrentTerm raised.
//  5. The intent is removed, and the instance starts at the cut.
//
// All steps may be done again: each leaves alone what it finds done.

// ErrKnowsMore: the replica's log may hold acked entries that the cut does not.
// Nothing was changed, the hold has ended and the old instance runs again: go
// back to plan, and take a later cut.
var ErrKnowsMore = errors.New("replica knows more than the cut")

// InstallSteps are the names that HostConfig.InstallStep is called with, in
// order: what has been done by then.
var InstallSteps = [...]string{"sealed", "stopped", "intent", "switched", "log", "term", "finished"}

const (
	stepSealed = iota
	stepStopped
	stepIntent
	stepSwitched
	stepLog
	stepTerm
	stepFinished
)

// errCutShort ends an install as the end of the process would.
var errCutShort = errors.New("install is cut short")

// Installation is a proven copy that is to replace a replica's shard.
type Installation struct {
	// Lineage is that of the cut.
	Lineage string
	// State is what View.State gave at the cut; Cut is what it says.
	State []byte
	Cut   storage.Durable
	// Stage lies at StageFile in StagingDir. Install closes it, whatever happens.
	Stage *storage.Stage
	// InPlace: the stage holds the leaves that differ, which are put into the
	// shard's own file; else the stage becomes the shard's file.
	InPlace  bool
	Manifest []digest.Entry
	// Exhibit is for the report of what is replaced; nil: one is kept where
	// something is held against the replica, or it is in quarantine.
	Exhibit *Exhibit
}

// check refuses what contradicts itself.
func (i *Installation) check() error {
	d, err := storage.ParseState(i.State)
	switch {
	case err != nil:
		return err
	case d.Position != i.Cut.Position || d.Index == 0 || d.ConfigurationIndex == 0:
		return fmt.Errorf("state is of %v, configuration %d, the cut at %v", d.Position, d.ConfigurationIndex, i.Cut.Position)
	case i.Lineage == "" || len(i.Lineage) > maxLineageBytes || i.Stage == nil:
		return errors.New("no lineage, or no stage")
	}
	return nil
}

func (h *Host) step(group uint32, step int) error {
	if h.config.InstallStep == nil {
		return nil
	}
	if err := h.config.InstallStep(group, InstallSteps[step]); err != nil {
		return fmt.Errorf("%w: %w", errCutShort, err)
	}
	return nil
}

// Install replaces the shard and starts the replica at the cut; then the hold has
// ended, as it has after ErrKnowsMore. After an error of the seal nothing has
// changed and the hold stands; after any other the hold has ended, and the
// replica runs again as it was, or says why it does not run. The context ends
// what comes before the switch.
func (h *Hold) Install(ctx context.Context, i Installation) error {
	g := h.group
	if i.Stage != nil {
		defer func() { _ = i.Stage.Close() }()
	}
	if err := i.check(); err != nil {
		return fmt.Errorf("install in group %d: %w", g.id, err)
	}
	if err := g.fits(&i); err != nil {
		return err
	}
	if !i.InPlace {
		if err := i.Stage.Seal(g.host.identity(g.id, i.Lineage), i.State, i.Manifest); err != nil {
			return fmt.Errorf("install in group %d: seal: %w", g.id, err)
		}
		if err := i.Stage.Close(); err != nil {
			return fmt.Errorf("install in group %d: close stage: %w", g.id, err)
		}
	}
	if err := g.host.step(g.id, stepSealed); err != nil {
		return err
	}
	if err := g.opening.lock(ctx); err != nil {
		return fmt.Errorf("install in group %d: %w", g.id, err)
	}
	defer g.opening.Unlock()
	switch {
	case h.over:
		return fmt.Errorf("install in group %d: %w", g.id, ErrHoldEnded)
	case g.host.closing():
		return fmt.Errorf("install in group %d: %w", g.id, ErrClosed)
	}
	if err := g.fits(&i); err != nil { // it may have gone to quarantine meanwhile
		return err
	}
	h.exhibit(ctx, &i)
	if err := h.install(ctx, &i); err != nil {
		return fmt.Errorf("install in group %d: %w", g.id, err)
	}
	return nil
}

// fits refuses to put leaves into a file in quarantine.
func (g *Group) fits(i *Installation) error {
	if !i.InPlace {
		return nil
	}
	if why, err := g.host.quarantined(g.id); err != nil || why != "" {
		return fmt.Errorf("install in group %d: not into the file of a replica %s: %w", g.id, why, errors.Join(err, storage.ErrDamaged))
	}
	return nil
}

// install stops the replica, switches, and starts it. The caller holds opening.
func (h *Hold) install(ctx context.Context, i *Installation) error {
	g := h.group
	limited, cancel := context.WithTimeout(ctx, damageHandOver)
	g.giveUpLead(limited)
	cancel()
	err := h.end()
	if in, stopped := g.running(); stopped == nil && !i.InPlace {
		in.replaced.Store(true)
	}
	err = errors.Join(err, g.stopBriefly("is being installed"))
	if err == nil {
		err = g.host.step(g.id, stepStopped)
	}
	if err == nil {
		err = g.replace(i)
	}
	if err == nil {
		g.noteInstalled(i)
	}
	if errors.Is(err, errCutShort) {
		g.mu.Lock()
		g.decided = true
		g.mu.Unlock()
		return err
	}
	if err := errors.Join(err, g.start(g.wanted, nil)); err != nil {
		return err
	}
	g.host.config.Logger.Debug("replica was installed", "group", g.id, "index", i.Cut.Index, "term", i.Cut.Term, "lineage", i.Lineage, "in_place", i.InPlace)
	return nil
}

// replace does the install of a stopped group.
func (g *Group) replace(i *Installation) error {
	entries, err := g.host.config.Engine.Open(g.id)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	err = g.replaceWith(i, entries)
	return errors.Join(err, entries.Close())
}

func (g *Group) replaceWith(i *Installation, entries raftlog.Log) error {
	facts, err := g.host.installFacts(g.id, entries, i.Lineage, i.Cut.Position)
	if err != nil {
		return err
	}
	n := intent{
		Lineage: i.Lineage, Cut: i.Cut.Position, InPlace: i.InPlace,
		Log: decideLog(facts, i.Cut.Position), Joiner: facts.Joiner,
	}
	if n.Log == logKnowsMore {
		return fmt.Errorf("its log ends at %d of term %d, the cut is %d of term %d: %w",
			facts.Last, facts.LastTerm, i.Cut.Index, i.Cut.Term, ErrKnowsMore)
	}
	if i.InPlace {
		n.State, n.Manifest = i.State, i.Manifest
		if err := i.Stage.Commit(); err != nil {
			return err
		}
	}
	if err := g.host.writeIntent(g.id, n); err != nil {
		return err
	}
	if err := g.host.step(g.id, stepIntent); err != nil {
		return err
	}
	return g.host.carryOut(g.id, n, entries, i.Stage)
}
