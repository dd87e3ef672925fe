package resync

import (
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/walgap"
)

// What a message may hold, before anybody acts on it.

const (
	maxCutPause  = 10 * time.Second
	maxLeafBytes = 1 << 40
	keyBytes     = 32
)

// check returns the asker's server id.
func (r *request) check(from membership.NodeID) (membership.ServerID, error) {
	target, err := membership.ParseServerID(r.Target)
	switch {
	case r.Version != wireVersion:
		return target, fmt.Errorf("%w: version %d, this node speaks %d", ErrWire, r.Version, wireVersion)
	case err != nil:
		return target, fmt.Errorf("%w: target: %w", ErrWire, err)
	case target.NodeID != from:
		return target, fmt.Errorf("%w: %s asks for %s", ErrWire, from, target)
	case !textFits(r.Job) || r.Job == "":
		return target, fmt.Errorf("%w: job id of %d bytes", ErrWire, len(r.Job))
	case !textFits(r.CutID, r.Pin, r.Session.Leader, r.Session.Lineage):
		return target, fmt.Errorf("%w: a name is longer than %d bytes", ErrWire, maxText)
	case len(r.Drop) > maxCutIDs:
		return target, fmt.Errorf("%w: %d leases to end, at most %d", ErrWire, len(r.Drop), maxCutIDs)
	case r.Offset < 0 || r.Offset > maxLeaves:
		return target, fmt.Errorf("%w: page at %d", ErrWire, r.Offset)
	}
	for _, id := range r.Drop {
		if !textFits(id) || !ownedBy(r.Job, id) {
			return target, fmt.Errorf("%w: lease %.64q is not of job %s", ErrWire, id, r.Job)
		}
	}
	return target, r.checkParts()
}

// checkParts looks at the part that the op needs.
func (r *request) checkParts() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s without %s that makes sense", ErrWire, r.Op, what) }
	switch r.Op {
	case opPlan:
		if r.Plan == nil || r.Plan.Mode > walgap.PartialSync || checkTarget(r.Plan.Target) != nil {
			return bad("a report")
		}
	case opRenew:
		if r.Renew == nil || r.Renew.CutID != "" && !ownedBy(r.Job, r.Renew.CutID) {
			return bad("a lease")
		}
	case opCut:
		if c := r.Cut; c == nil || !textFits(c.ID) || !ownedBy(r.Job, c.ID) || c.ID == r.Job || c.Lease != "" && c.Lease != r.Job ||
			c.MaxPause <= 0 || c.MaxPause > maxCutPause || c.TTL <= 0 {
			return bad("a cut")
		}
	case opView, opManifest, opChallenge, opProve, opHold:
		if r.CutID == "" {
			return bad("a cut")
		}
	case opRecord, opEnd:
	default:
		return fmt.Errorf("%w: op %.32q", ErrWire, string(r.Op))
	}
	return nil
}

func checkTarget(t walgap.Target) error {
	if !textFits(t.Cluster, t.Lineage) || len(t.Damage) > maxErrorText || len(t.Terms) > maxTermRuns {
		return fmt.Errorf("%w: report out of bounds", ErrWire)
	}
	return checkTerms(t.Terms)
}

func checkTerms(runs []walgap.TermRun) error {
	for i := 1; i < len(runs); i++ {
		if runs[i].First <= runs[i-1].First || runs[i].Term < runs[i-1].Term {
			return fmt.Errorf("%w: term runs out of order", ErrWire)
		}
	}
	return nil
}

// check looks at an answer to op.
func (a *answer) check(op op) error {
	bad := func(what string) error {
		return fmt.Errorf("%w: answer to %s without %s that makes sense", ErrWire, op, what)
	}
	if a.Version != wireVersion {
		return fmt.Errorf("%w: version %d, this node speaks %d", ErrWire, a.Version, wireVersion)
	}
	if len(a.Text) > maxErrorText || !textFits(a.Session.Leader, a.Session.Lineage) || a.Fenced < 0 {
		return bad("texts")
	}
	if a.Code != "" {
		return nil
	}
	switch op {
	case opPlan:
		return a.Plan.check()
	case opCut, opRecord:
		if a.Cut == nil || a.Cut.ID == "" || !textFits(a.Cut.ID) || a.Cut.Position.Index == 0 || a.Cut.Position.Term == 0 {
			return bad("a position")
		}
		if a.View != nil && !a.View.fits() {
			return bad("a view")
		}
	case opView:
		if a.View == nil || !a.View.fits() {
			return bad("a view")
		}
	case opChallenge:
		if len(a.Key) != keyBytes {
			return bad("a key")
		}
	}
	return nil
}

func (v *viewAnswer) fits() bool {
	return v.Leaves >= 0 && v.Leaves <= maxLeaves && len(v.State) > 0 && len(v.State) <= maxStateBytes
}

func (p *planAnswer) check() error {
	if p == nil || len(p.Sources) > maxSources {
		return fmt.Errorf("%w: plan without a verdict or with too many sources", ErrWire)
	}
	v := p.Verdict
	if v.Kind > walgap.Full || v.Decided && v.Wait || v.Seconds < 0 || v.Bytes > 1<<62 || v.Entries > 1<<62 {
		return fmt.Errorf("%w: verdict %+.200v", ErrWire, v)
	}
	for _, s := range p.Sources {
		if s.Server.NodeID.Validate() != nil || !textFits(s.Zone) {
			return fmt.Errorf("%w: source %.64q", ErrWire, s.Server)
		}
	}
	return nil
}

func textFits(texts ...string) bool {
	for _, t := range texts {
		if len(t) > maxText {
			return false
		}
	}
	return true
}
