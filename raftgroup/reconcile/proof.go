package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
)

const (
	// proofTTL is how long the replicas keep the view of a proof's cut.
	proofTTL = 30 * time.Second
	// firstBackOff is the pause after a proof that failed; it doubles each time,
	// up to maxBackOff: a cut and two roots cost a flush on every replica.
	firstBackOff = time.Second
	maxBackOff   = 5 * time.Minute
	// maxDiffering is how often a server may show another root than the leader's:
	// one that has other data does not get better by being asked.
	maxDiffering = 3
)

// errDiffers is wrapped by a proof that was carried out and failed.
var errDiffers = errors.New("differs from the leader")

// proof is what came of the proofs of one server under one leader.
type proof struct {
	failed, differing int
	next              time.Time
	last              string // error
}

// failedOnce counts one more failure.
func (p proof) failedOnce(err error, now time.Time) proof {
	p.failed++
	p.last = err.Error()
	if errors.Is(err, errDiffers) {
		p.differing++
	}
	p.next = now.Add(min(maxBackOff, firstBackOff<<min(p.failed-1, 16)))
	return p
}

// unproven says why there is no proof now, "" if there may be one.
func (p proof) unproven(id membership.ServerID, now time.Time) string {
	switch {
	case p.differing >= maxDiffering:
		return fmt.Sprintf("%s cannot be proven, and is not tried again under this leader: %s", id, p.last)
	case now.Before(p.next):
		return fmt.Sprintf("proof of %s failed %d times, next at %s: %s", id, p.failed, p.next.UTC().Format(time.RFC3339), p.last)
	}
	return ""
}

// addProofs tells a view which servers are not proven now. What is known of
// servers that nobody wants any more is dropped.
func (l *Loop) addProofs(group uint32, v *View) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.of(group)
	kept := make(map[membership.ServerID]proof)
	for i, w := range v.Wanted {
		if p, ok := known.proofs[w.ID]; ok {
			kept[w.ID] = p
			v.Wanted[i].Unproven = p.unproven(w.ID, now)
		}
	}
	known.proofs = kept
}

// notedProof keeps what came of a proof, but for one that this node's end cut
// short.
func (l *Loop) notedProof(ctx context.Context, group uint32, target membership.ServerID, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch known := l.of(group); {
	case err == nil:
		delete(known.proofs, target)
	case !errors.Is(context.Cause(ctx), context.Canceled):
		known.proofs[target] = known.proofs[target].failedOnce(err, time.Now())
	}
}

// prove compares the server's root with the leader's at one cut.
func (l *Loop) prove(ctx context.Context, g *raftgroup.Group, target membership.ServerID) error {
	cutID, at, err := g.Cut(ctx, "proof of "+target.String(), proofTTL)
	if err != nil {
		return err
	}
	defer func() { // a view that is not ended by its id ends by its ttl
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = g.End(ending, cutID)
	}()
	witnessed := l.witness(ctx, g, target, cutID)
	defer witnessed()
	own, _, err := g.Root(ctx, cutID)
	if err != nil {
		return err
	}
	theirs, err := l.peers.Root(ctx, target.NodeID, g.ID(), cutID)
	if err != nil {
		return fmt.Errorf("root of %s at index %d: %w", target, at.Index, err)
	}
	if own != theirs {
		return fmt.Errorf("%s %w at index %d: root %s, not %s", target, errDiffers, at.Index, theirs, own)
	}
	// The root is the node's, which may have begun another generation meanwhile.
	answer, err := l.peers.Describe(ctx, target.NodeID, g.ID())
	if err != nil {
		return fmt.Errorf("%s does not answer after its proof: %w", target, err)
	}
	return stillIs(target, answer.Server)
}

// witnessLimit bounds the wait for the roots of those that are not proven.
const witnessLimit = time.Second

// witness has the other members tell their roots at the cut of a proof, for their rows: so a group shows whether all are equal. They
// decide nothing here. What it returns waits for them.
func (l *Loop) witness(ctx context.Context, g *raftgroup.Group, target membership.ServerID, cutID string) (wait func()) {
	members, _, err := g.Members()
	if err != nil {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, witnessLimit)
	var asked sync.WaitGroup
	for _, m := range members {
		if m.ID.NodeID != target.NodeID && m.ID.NodeID != g.Self().NodeID {
			asked.Go(func() { _, _ = l.peers.Root(ctx, m.ID.NodeID, g.ID(), cutID) })
		}
	}
	return func() {
		asked.Wait()
		cancel()
	}
}

// stillIs refuses a proof of a server that its node has given up meanwhile.
func stillIs(target, now membership.ServerID) error {
	if now != target {
		return fmt.Errorf("%s was proven, and its node answers as %s now", target, now)
	}
	return nil
}
