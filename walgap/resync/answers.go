package resync

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap"
)

// plan judges, and takes the log lease for what it decided. Trimming may have come between the report and the lease, so
// a replay is judged again under the lease.
func plan(ctx context.Context, led Led, q *request, target membership.ServerID, s LedStanding) (*answer, error) {
	report, err := led.Report(ctx, target)
	if err != nil {
		return nil, err
	}
	p := &planAnswer{Sources: report.Sources, Leader: report.Leader}
	p.Leader.Terms = nil
	if s.Server == target {
		return planOfLeader(q, p, report.Leader, target)
	}
	p.Verdict = walgap.Judge(report.Leader, q.Plan.Target, q.Plan.Rates, q.Plan.Mode)
	v := p.Verdict
	if !v.Decided || v.Kind == walgap.None || v.FromRecord || q.Plan.DryRun {
		return &answer{Plan: p}, nil
	}
	if v.Kind.Copies() && q.Plan.CutLeases { // it needs nothing of the log that is older than its cut
		return &answer{Plan: p}, nil
	}
	if !report.CanCommit { // it will, with the target: replay takes the lease then
		return &answer{Plan: p}, nil
	}
	if v.From > 0 && led.Leased(q.Job) { // of an earlier plan: renewing it would not keep what this one needs
		if err := led.End(ctx, []string{q.Job}); err != nil {
			return nil, err
		}
	}
	if p.Index, err = led.Lease(ctx, q.Job, v.Keep(), leaseTTL); err != nil {
		return nil, err
	}
	if v.Kind != walgap.Replay {
		return &answer{Plan: p}, nil
	}
	if report, err = led.Report(ctx, target); err != nil {
		return nil, err
	}
	if v = walgap.Judge(report.Leader, q.Plan.Target, q.Plan.Rates, q.Plan.Mode); v.Decided {
		p.Verdict = v
	}
	return &answer{Plan: p}, nil
}

// planOfLeader is the plan of a target that leads. Whatever is to be copied to it comes from who leads after it: it has to
// hand over, and is judged anew then. A dry run is told what that will cost, by what the leader holds now.
func planOfLeader(q *request, p *planAnswer, leader walgap.Leader, target membership.ServerID) (*answer, error) {
	switch {
	case q.Plan.Mode == walgap.Auto:
		p.Verdict = walgap.Verdict{Decided: true, Kind: walgap.None, Reason: "it leads the group"}
		return &answer{Plan: p}, nil
	case len(p.Sources) == 0:
		return nil, fmt.Errorf("%w: %s leads the group, and no other replica of it answers: there is nobody to copy from", ErrRefused, target.Name)
	case !q.Plan.DryRun:
		return nil, fmt.Errorf("%w: %s", ErrLeads, target.Name)
	}
	p.Verdict = walgap.Judge(leader, q.Plan.Target, q.Plan.Rates, q.Plan.Mode)
	p.Verdict.FromRecord = false // who leads then gives its own
	p.Verdict.Reason += "; it leads the group, and hands that over first"
	return &answer{Plan: p}, nil
}

// serve does what a job asks under its session.
func (v *visit) serve(ctx context.Context, led Led, q *request, target membership.ServerID) (*answer, error) {
	v.mu.Lock()
	pinned := v.pin
	v.mu.Unlock()
	if q.CutID != "" && q.CutID != pinned && !ownedBy(q.Job, q.CutID) {
		return nil, fmt.Errorf("%w: record %.64q", storage.ErrNotPinned, q.CutID)
	}
	switch q.Op {
	case opRenew:
		return v.renew(ctx, led, q)
	case opCut:
		return v.cut(ctx, led, q)
	case opRecord:
		return v.record(ctx, led, q)
	case opView, opManifest:
		return v.look(ctx, led, q)
	case opChallenge:
		key := make([]byte, keyBytes)
		_, _ = rand.Read(key) // never fails: it ends the process instead
		v.challenge(led, q.CutID, key)
		if q.CutID != pinned { // nobody else has pinned a record
			led.Witness(q.CutID, target)
		}
		return &answer{Key: key}, nil
	case opProve:
		return v.judge(ctx, led, q, target)
	case opHold:
		return v.hold(ctx, led, q)
	}
	return nil, ErrWire
}

// renew renews the job's leases; that one is gone is what the target must hear.
func (v *visit) renew(ctx context.Context, led Led, q *request) (*answer, error) {
	if q.Renew.Record { // nothing is in the log: that the job asked is all
		return &answer{}, nil
	}
	if q.Renew.Leased && !led.Leased(q.Job) {
		return nil, fmt.Errorf("%w: the log lease has ended", ErrMoved)
	}
	index, err := led.Lease(ctx, q.Job, q.Renew.From, leaseTTL)
	if err != nil {
		return nil, err
	}
	if q.Renew.CutID == "" {
		return &answer{Index: index}, nil
	}
	if !led.Leased(q.Renew.CutID) {
		return nil, fmt.Errorf("%w: the cut's view has ended", storage.ErrNotPinned)
	}
	if _, err := led.Lease(ctx, q.Renew.CutID, 0, leaseTTL); err != nil {
		return nil, err
	}
	return &answer{Index: index}, nil
}

func (v *visit) cut(ctx context.Context, led Led, q *request) (*answer, error) {
	if old := slices.DeleteFunc(slices.Clone(q.Drop), func(id string) bool { return !led.Leased(id) }); len(old) > 0 {
		_ = led.End(ctx, old) // best effort: they run out by themselves
	}
	made, err := led.Cut(ctx, *q.Cut)
	a := &answer{Fenced: made.Fenced, Cut: &cutAnswer{ID: made.ID, Position: made.Position}}
	if err != nil {
		return a, err
	}
	l := v.list(led, made.ID)
	if l != nil && l.awaitFor(ctx, listingSoon, "computes the digests of its view") == nil {
		a.View = l.head()
		a.Page = l.page(0)
	}
	return a, nil
}

// record pins the snapshot record, in place of an earlier one.
func (v *visit) record(ctx context.Context, led Led, q *request) (*answer, error) {
	if q.Pin != "" {
		led.Unpin(q.Pin)
	}
	made, err := led.PinRecord(ctx, q.Job, pinTTL)
	if err != nil {
		return nil, err
	}
	v.keep(func() { led.Unpin(made.ID) })
	v.mu.Lock()
	v.pin = made.ID
	v.mu.Unlock()
	return &answer{Cut: &cutAnswer{ID: made.ID, Position: made.Position}}, nil
}

// look gives the manifest's head, or a page of it.
func (v *visit) look(ctx context.Context, led Led, q *request) (*answer, error) {
	l := v.list(led, q.CutID)
	if l == nil {
		return nil, ErrNotLeader
	}
	if err := l.await(ctx, "computes the digests of its view"); err != nil {
		return nil, err
	}
	if q.Op == opView {
		return &answer{View: l.head()}, nil
	}
	if q.Offset >= len(l.entries) {
		return nil, fmt.Errorf("%w: page at %d of %d leaves", ErrWire, q.Offset, len(l.entries))
	}
	return &answer{Page: l.page(q.Offset)}, nil
}

// head says what the listing is of.
func (l *listing) head() *viewAnswer {
	return &viewAnswer{Root: l.root, Leaves: len(l.entries), State: l.state}
}

// page is a page of the manifest; nil behind its end.
func (l *listing) page(offset int) []byte {
	if offset >= len(l.entries) {
		return nil
	}
	entries := l.entries[offset:min(offset+pageLeaves, len(l.entries))]
	page := make([]byte, 0, len(entries)*entryBytes)
	for _, e := range entries {
		page = appendEntry(page, e)
	}
	return page
}

// judge compares a claim with the leader's own sum. One challenge judges one claim: its answer reveals the sum.
func (v *visit) judge(ctx context.Context, led Led, q *request, target membership.ServerID) (*answer, error) {
	a, err := v.compare(ctx, led, q, target)
	if err != nil || !a.Equal || !q.Hold {
		return a, err
	}
	if _, err := v.hold(ctx, led, q); err != nil {
		return nil, err // the same claim may be made again
	}
	a.Held = true
	return a, nil
}

func (v *visit) compare(ctx context.Context, led Led, q *request, target membership.ServerID) (*answer, error) {
	v.mu.Lock()
	t, l := v.trial, v.listing
	v.mu.Unlock()
	if t == nil || t.cutID != q.CutID || l == nil || l.cutID != q.CutID {
		return nil, fmt.Errorf("%w: no challenge of this cut waits for a proof", ErrUnproven)
	}
	v.mu.Lock()
	if t.claimed && t.claim != q.Sum {
		v.mu.Unlock()
		return nil, fmt.Errorf("%w: another sum was claimed for this challenge", ErrUnproven)
	}
	t.claimed, t.claim = true, q.Sum
	v.mu.Unlock()
	if err := t.await(ctx, "computes the proof of its own view"); err != nil {
		return nil, err
	}
	a := &answer{Equal: hmac.Equal(t.sum[:], q.Sum[:]), Sum: t.sum}
	if !a.Equal {
		return a, nil
	}
	s, err := led.Standing(ctx, target)
	if err != nil {
		return nil, err
	}
	a.Index = s.Applied
	err = led.Proven(ctx, Proof{Job: q.Job, Target: target, Lineage: v.session.Lineage, Position: l.at, Root: l.root, Sum: t.sum})
	return a, err
}

// hold has Raft shown the cut's record. The state is the leader's own, never the target's word.
func (v *visit) hold(ctx context.Context, led Led, q *request) (*answer, error) {
	v.mu.Lock()
	held := v.held[q.CutID] || v.pin == q.CutID // Raft is shown a pinned record
	v.mu.Unlock()
	if held {
		return &answer{}, nil
	}
	view, err := led.View(ctx, q.CutID)
	if err != nil {
		return nil, err
	}
	state, err := view.State()
	if closeErr := view.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	release, err := led.HoldRecord(ctx, q.Job, state)
	if err != nil {
		return nil, err
	}
	v.keep(release)
	v.mu.Lock()
	v.held[q.CutID] = true
	v.mu.Unlock()
	return &answer{}, nil
}
