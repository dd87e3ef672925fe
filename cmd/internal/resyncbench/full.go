package resyncbench

import (
	"context"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/walgap"
)

// playFull wipes the disk of the target: everything is copied to an empty node of an idle cluster.
func playFull(ctx context.Context, r *rig, l *ledger) error {
	before := idle(r.fleet.Processes...)
	if err := r.stop(ctx, r.target()); err != nil {
		return err
	}
	if err := wipe(r.target()); err != nil {
		return err
	}
	sources, err := r.cpuOf(ctx, r.others()...)
	if err != nil {
		return err
	}
	since := time.Now()
	if err := r.target().Start(); err != nil {
		return err
	}
	watch := watchMemory(r.fleet.Processes...)
	all, err := r.ended(ctx, since)
	peak := watch.stop()
	if err != nil {
		return err
	}
	if err := r.cost(ctx, l, all, sources); err != nil {
		return err
	}
	full := all.of(walgap.Full.String())
	if len(full) < totalGroups {
		return fmt.Errorf("an empty node got %v", all.verdicts())
	}
	rate := megabytes(full.bytes()) / full.span().Seconds()
	l.add("full", "full copy", "MB/s", rate)
	l.add("full", "full copy, seconds", "s", full.span().Seconds())
	if system, ok := l.median("cp, sync and sum"); ok {
		l.add("full", "full copy against cp, sync and sum", "x", rate/system)
	}
	for node, share := range full.shares() {
		l.add("full", "full copy, share of "+node, "%", 100*share)
	}
	r.memory(l, "full", peak, before)
	return r.equal(ctx)
}

// cost notes the processor's time that jobs took, which other work on the machine changes less than it does theirs: of the
// target since its start, and of the others since they had used so much. What idle groups use is in it.
func (r *rig) cost(ctx context.Context, l *ledger, all rows, before float64) error {
	target, err := r.cpuOf(ctx, r.target())
	if err != nil {
		return err
	}
	sources, err := r.cpuOf(ctx, r.others()...)
	if err != nil {
		return err
	}
	l.add("full", "full copy, CPU of the target", "ms/MB", 1000*target/megabytes(all.bytes()))
	l.add("full", "full copy, CPU of the sources", "ms/MB", 1000*(sources-before)/megabytes(all.bytes()))
	return nil
}

// memory notes what a copy took of sources and target.
func (r *rig) memory(l *ledger, scene string, peak, before map[string]int64) {
	source, known := above(peak, before, r.others()...)
	target, alsoKnown := above(peak, before, r.target())
	if !known || !alsoKnown {
		l.note("memory: this system does not say what a process holds")
		return
	}
	l.add(scene, "memory of a source above idle", "MiB", source)
	l.add(scene, "memory of the target above idle", "MiB", target)
}
