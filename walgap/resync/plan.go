package resync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/walgap"
)

const planAgain = time.Second // between two questions when the verdict is: wait

// plan is the first stage, and where every change of the world leads back to. The target reports itself; the leader
// takes a log lease and judges. A verdict of wait is asked for again, until the stage's bound.
func (j *job) plan(ctx context.Context) (Outcome, error) {
	j.closeBuild()
	j.fresh = false
	j.remote.keep(lease{})
	for {
		p, err := j.patiently(ctx)
		if errors.Is(err, ErrLeads) {
			if err = j.stepAside(ctx); err == nil {
				continue
			}
		}
		if err != nil {
			return 0, err
		}
		v := p.Verdict
		if err := j.adopt(p); err != nil {
			return 0, err
		}
		switch {
		case !v.Decided && !v.Wait && !j.req.DryRun:
			return 0, fmt.Errorf("%w: %s", ErrRefused, blockedOr(v))
		case v.Decided || j.req.DryRun:
			j.step(Plan, "judged")
			return j.judged(ctx)
		}
		j.board.edit(func(r *Row) { r.Reason, r.BlockedBy = v.Reason, blockedOr(v) })
		if err := pause.For(ctx, planAgain); err != nil {
			return 0, err
		}
	}
}

// patiently is ask, or what it waits for, where somebody waits for a dry run.
func (j *job) patiently(ctx context.Context) (*planAnswer, error) {
	if !j.req.DryRun {
		return j.ask(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, dryRunAsk)
	defer cancel()
	p, err := j.ask(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w in %v", errUnreached, dryRunAsk)
		if why := j.board.look().BlockedBy; why != "" {
			err = errors.New(why)
		}
	}
	return p, err
}

// ask reports the target and gets the verdict.
func (j *job) ask(ctx context.Context) (*planAnswer, error) {
	standing, err := j.replica.Report(ctx)
	if err != nil {
		return nil, fmt.Errorf("report the replica: %w", err)
	}
	if extra := len(standing.Terms) - maxTermRuns; extra > 0 { // it knows less, which is safe
		standing.Terms = standing.Terms[extra:]
		standing.First = standing.Terms[0].First
	}
	j.standing = standing
	before := j.state.Asked && !j.unasked
	if err := j.mayLease(); err != nil {
		return nil, err
	}
	j.step(Plan, "asked")
	j.unasked = false
	q := request{Op: opPlan, Target: standing.Server.String(), Plan: &planAsk{Target: standing.Target, Mode: j.mode(),
		Rates: j.rates(), DryRun: j.req.DryRun, CutLeases: true}}
	a, err := j.remote.ask(ctx, q, j.board.block)
	if err != nil {
		return nil, err
	}
	j.remote.adopt(standing.Server, a.Session)
	j.state.Asked = before || a.Plan.Index > 0
	return a.Plan, nil
}

// stepAside has the replica hand over that is to be copied and leads: it may have come to lead since it was asked for, and
// again when its process was started anew.
func (j *job) stepAside(ctx context.Context) error {
	l, ok := j.replica.(Leading)
	if !ok {
		return fmt.Errorf("%w: %w", ErrRefused, ErrLeads)
	}
	j.board.block("the replica leads its group, and hands that over first")
	switch err := l.StepAside(ctx); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
}

// mayLease notes, before it is asked for, that a log lease may live. The first state of a job says so.
func (j *job) mayLease() error {
	if j.req.DryRun || j.state.Asked {
		return nil
	}
	j.state.Asked = true
	return j.note()
}

// mode is what the operator asked for, until it was done: a replica that was installed is judged by its gap.
func (j *job) mode() walgap.Mode {
	if j.state.Installed {
		return walgap.Auto
	}
	return j.req.Mode
}

// adopt takes a plan for the job's own.
func (j *job) adopt(p *planAnswer) error {
	if s := j.state.Switching; s != nil && !j.state.Installed && len(j.req.Bad) == 0 {
		// The process may have died between the switch and its note of it. Where leaves are to be replaced of a replica that
		// is not behind, its own log brings it there without any switch: those are copied again.
		j.state.Installed = j.standing.Lineage == s.Lineage && j.standing.HasData && j.standing.Applied.Index >= s.Position.Index &&
			j.standing.Applied.Term >= s.Position.Term
	}
	j.verdict, j.leader, j.goal = p.Verdict, p.Leader, p.Index
	j.sources = p.Sources
	if j.req.From != "" {
		j.sources = slices.DeleteFunc(slices.Clone(p.Sources), func(s Source) bool { return s.Server.Name != j.req.From })
	}
	if only := j.req.Only; len(only) > 0 {
		j.sources = slices.DeleteFunc(slices.Clone(j.sources), func(s Source) bool { return !slices.Contains(only, s.Server.Name) })
	}
	if p.Verdict.FromRecord {
		j.sources = slices.DeleteFunc(slices.Clone(j.sources), func(s Source) bool { return !s.Leader })
	}
	if j.verdict.Decided && j.verdict.Kind.Copies() && len(j.sources) == 0 {
		return fmt.Errorf("%w: %s", ErrRefused, j.noSource())
	}
	v := j.verdict
	if v.Decided && !j.state.Installed {
		j.state.Verdict, j.state.Reason = v.Kind.String(), v.Reason
		j.state.PlannedBytes, j.state.PlannedS, j.state.PlannedN = int64(v.Bytes), v.Seconds, int64(v.Entries)
	}
	j.board.edit(func(r *Row) {
		r.Offered = j.sources
		r.Verdict, r.Reason = j.state.Verdict, j.state.Reason
		r.PlannedBytes, r.PlannedS, r.EntriesPlanned = j.state.PlannedBytes, j.state.PlannedS, j.state.PlannedN
		if eta := v.Seconds; v.Decided {
			r.EtaS = &eta
		} else {
			r.Reason, r.BlockedBy = v.Reason, v.BlockedBy
		}
	})
	if v.Decided && v.Kind.Copies() { // with the cut
		return nil
	}
	return j.note()
}

func (j *job) noSource() string {
	switch {
	case j.req.From != "" && j.verdict.FromRecord:
		return fmt.Sprintf("only the leader can give what no quorum has, and %s is not it: resync without --from", j.req.From)
	case j.req.From != "":
		return fmt.Sprintf("%s holds no ready replica of group %d: resync without --from, or from another node", j.req.From, j.req.Group)
	}
	if len(j.req.Only) > 0 {
		return fmt.Sprintf("none of %s can give leaves of group %d now", strings.Join(j.req.Only, ", "), j.req.Group)
	}
	return fmt.Sprintf("no ready replica of group %d but the target", j.req.Group)
}

// judged says where the verdict leads, and lets a replica go that a log will cure.
func (j *job) judged(ctx context.Context) (Outcome, error) {
	kind := j.verdict.Kind
	if j.req.DryRun {
		if j.verdict.Decided && kind.Copies() {
			return Compared, nil
		}
		return Priced, nil
	}
	if !kind.Copies() {
		if err := j.release(ctx); err != nil {
			return 0, err
		}
		if kind == walgap.None {
			return Equal, nil
		}
		j.remote.keep(lease{active: j.goal > 0, leased: j.goal > 0, from: j.verdict.Keep()})
		return Bridgeable, nil
	}
	j.goal = 0
	record := j.verdict.FromRecord || !j.leader.CanCommit
	j.remote.keep(lease{active: true, record: record, none: !record}) // a lease is taken with the cut
	return Passed, nil
}

func blockedOr(v walgap.Verdict) string {
	if v.BlockedBy != "" {
		return v.BlockedBy
	}
	return v.Reason
}
