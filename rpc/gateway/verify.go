package gateway

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// verifiesAtOnce is how many groups a job has in work that reads no blocks: what
// they ask of the same node shares calls.
const verifiesAtOnce = 64

// deepVerifiesAtOnce is how many it has in work where blocks are read: each cut is a flush on every node, and a view that is pinned
// until the disk's turn comes: two shards of a node are read at once. With sixteen, clients waited for the flushes.
const deepVerifiesAtOnce = 4

// Verify starts the job that checks all assigned replicas of some groups (none:
// all that exist).
func (g *Gateway) Verify(ctx context.Context, r api.VerifyRequest) (api.Job, error) {
	mode, err := verifyMode(r.Mode)
	if err != nil {
		return api.Job{}, err
	}
	if r.Groups, err = g.existing(ctx, r.Groups); err != nil {
		return api.Job{}, err
	}
	r.Mode = mode
	return g.jobs.start(api.JobVerify, only(r.Groups), nil, &mode, func(ctx context.Context, progress func(func(*api.Job))) (any, error) {
		return g.verify(ctx, r, progress)
	})
}

// heldBack says what this node's background work gives way to; nil: nothing.
func (g *Gateway) heldBack() *string {
	if g.cfg.Background != nil {
		if why := g.cfg.Background().Why; why != "" {
			return &why
		}
	}
	return nil
}

// verifyMode reads the name of a mode; "" is advanced-verify.
func verifyMode(mode string) (string, error) {
	switch mode {
	case "":
		return api.ModeAdvancedVerify, nil
	case api.ModeVerify, api.ModeAdvancedVerify:
		return mode, nil
	}
	return "", api.E(api.InvalidArgument, "verify or advanced-verify", "mode %q is not known", mode)
}

func (g *Gateway) verify(ctx context.Context, r api.VerifyRequest, progress func(func(*api.Job))) (any, error) {
	begin := time.Now()
	result := api.VerifyResult{Mode: r.Mode, Deep: r.Deep, GroupsTotal: len(r.Groups), Findings: []api.Finding{}, Unchecked: []api.Unchecked{}}
	var mu sync.Mutex // guards result
	defer g.checks.skips.flush()
	atOnce := verifiesAtOnce
	if r.Deep {
		atOnce = deepVerifiesAtOnce
	}
	if g.cfg.ChecksAtOnce > 0 {
		atOnce = g.cfg.ChecksAtOnce
	}
	eachGroup(ctx, atOnce, r.Groups, func(group uint32, seat *antientropy.Seat) {
		o := optionsOf(r, func(bytes int64) {
			progress(func(j *api.Job) { j.BytesDone, j.BlockedBy = j.BytesDone+bytes, g.heldBack() })
		})
		o.Seat = seat // repairs that hang do not keep the other groups waiting
		report, err := g.CheckGroup(ctx, group, o)
		if err != nil {
			return // the job ends
		}
		mu.Lock()
		defer mu.Unlock()
		addReport(&result, &report)
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	result.DurationMs = time.Since(begin).Milliseconds()
	slices.SortStableFunc(result.Findings, func(a, b api.Finding) int { return cmp.Compare(a.GroupID, b.GroupID) })
	slices.SortFunc(result.Unchecked, func(a, b api.Unchecked) int { return cmp.Compare(a.GroupID, b.GroupID) })
	return result, nil
}

func optionsOf(r api.VerifyRequest, progress func(bytes int64)) antientropy.Options {
	o := antientropy.Options{Deep: r.Deep, Repair: r.Repair, Progress: progress}
	if r.Mode == api.ModeVerify {
		o.Mode = antientropy.Verify
	}
	return o
}

// maxVerifyFindings bounds the findings that a job keeps, and every list of jobs
// carries: FindingsTotal counts all.
const maxVerifyFindings = antientropy.MaxFindings

// addReport counts a group once as equal or damaged; one that was not fully
// checked is unchecked unless a difference is left, which says more.
func addReport(result *api.VerifyResult, r *antientropy.Report) {
	result.BytesRead += r.BytesRead
	result.FindingsTotal += r.FindingsTotal
	for i := range r.Findings {
		if len(result.Findings) == maxVerifyFindings {
			break
		}
		result.Findings = append(result.Findings, findingOf(&r.Findings[i]))
	}
	switch {
	case r.Damaged && r.Repaired:
		result.GroupsDamaged++
		result.GroupsRepaired++
	case r.Damaged:
		result.GroupsDamaged++
	case r.Equal:
		result.GroupsEqual++
	}
	if r.Unchecked != "" {
		result.GroupsUnchecked++
		result.Unchecked = append(result.Unchecked, api.Unchecked{GroupID: r.Group, Reason: r.Unchecked})
	}
}

// findingOf is a finding as it is shown.
func findingOf(f *antientropy.Finding) api.Finding {
	out := api.Finding{
		GroupID: f.Group, Node: f.Node, Kind: f.Kind.String(), Devices: append([]string{}, f.Devices...),
		Verdict: f.Verdict.String(), Action: f.Action.String(), Detail: f.Why,
	}
	if f.Leaf != nil {
		window, slot := f.Leaf.Window, int(f.Leaf.Slot)
		out.Window, out.Slot = &window, &slot
	}
	if f.From != nil {
		out.From = api.At(time.Unix(0, *f.From))
	}
	if f.To != nil {
		out.To = api.At(time.Unix(0, *f.To))
	}
	return out
}
