package resyncbench

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/bench"
	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// checkScenes are those of `flotilla bench check`.
var checkScenes = []scene{
	{"quiet", playQuiet},
	{"deep", playDeep},
	{"repair", playRepair},
	{"foreground", playForeground},
}

const (
	// quietSpell is how long the cluster is watched that does nothing, so that what it says meanwhile is known.
	quietSpell = 5 * time.Second
	// repairs is how many replicas are damaged in one run, half of them leaders.
	repairs = 6
	// pacedRate is what deep checks are held to while the rate is measured, in bytes/s of a node.
	pacedRate = 8 << 20
	// foregroundTurns and foregroundSpell: the load is watched without and with deep checks by turns, each time for so long
	// at least. A machine that others use too changes within seconds: one spell of either kind says little.
	foregroundTurns = 5
	foregroundSpell = 4 * time.Second
	rateSetting     = "storage.anti_entropy.rate"
)

// playQuiet checks all groups where nothing has changed since they were checked last.
func playQuiet(ctx context.Context, r *rig, l *ledger) error {
	if err := r.equal(ctx); err != nil {
		return err
	}
	from, err := r.spent(ctx)
	if err != nil {
		return err
	}
	if err := pause.For(ctx, quietSpell); err != nil {
		return err
	}
	to, err := r.spent(ctx)
	if err != nil {
		return err
	}
	idle := to.less(from)
	for _, way := range []struct{ mode, name string }{
		{api.ModeAdvancedVerify, "check of all groups, nothing changed"},
		{api.ModeVerify, "the same without a cut"},
	} {
		if err := r.settled(ctx); err != nil { // followers learn of the last entry when they hear of the leader next
			return err
		}
		from, err := r.spent(ctx)
		if err != nil {
			return err
		}
		result, err := r.verifyWith(ctx, api.VerifyRequest{Mode: way.mode})
		if err != nil {
			return err
		}
		if result.GroupsEqual != totalGroups {
			return fmt.Errorf("%s: %d of %d groups are equal", way.mode, result.GroupsEqual, totalGroups)
		}
		if to, err = r.spent(ctx); err != nil {
			return err
		}
		took := to.less(from).net(idle)
		l.add("quiet", way.name, "ms", float64(result.DurationMs))
		l.add("quiet", way.name+", on the wire", "MB", took.wire/1e6)
		l.add("quiet", way.name+", entries of the log", "entries", took.entries)
		l.add("quiet", way.name+", CPU of all nodes", "ms", 1000*took.cpu)
	}
	return nil
}

// playDeep re-reads all on all nodes.
func playDeep(ctx context.Context, r *rig, l *ledger) error {
	from, err := r.spent(ctx)
	if err != nil {
		return err
	}
	result, err := r.verifyWith(ctx, api.VerifyRequest{Mode: api.ModeAdvancedVerify, Deep: true})
	if err != nil {
		return err
	}
	to, err := r.spent(ctx)
	if err != nil {
		return err
	}
	if result.GroupsEqual != totalGroups {
		return fmt.Errorf("deep: %d of %d groups are equal", result.GroupsEqual, totalGroups)
	}
	l.add("deep", "deep check of all nodes", "MB/s", megabytes(result.BytesRead)/(float64(result.DurationMs)/1000))
	if cpu := to.less(from).cpu; cpu > 0 {
		l.add("deep", "deep check, a core", "MB/s", megabytes(result.BytesRead)/cpu)
	}
	return nil
}

// playRepair damages one leaf of a replica after the other, followers and leaders by turns.
func playRepair(ctx context.Context, r *rig, l *ledger) error {
	if err := r.settled(ctx); err != nil {
		return err
	}
	var list api.GroupList
	if _, err := r.admin.Get(ctx, "/v1/admin/groups", nil, &list); err != nil {
		return err
	}
	leaf := float64(r.bytes) / (totalGroups * leaves)
	for i := range repairs {
		g := &list.Groups[(i*37)%len(list.Groups)]
		who, node := "a leader's", value(g.Leader)
		if i%2 == 0 {
			who = "a follower's"
			for _, p := range g.Replicas {
				if p.Node != value(g.Leader) {
					node = p.Node
				}
			}
		}
		began := time.Now()
		result, err := r.drill(ctx, g.GroupID, node)
		if err != nil {
			return err
		}
		if !result.Held() {
			return fmt.Errorf("drill of group %d on %s: found %v, repaired %v: %s", g.GroupID, node, result.Detected, result.Repaired, result.Why)
		}
		l.add("repair", "detection of "+who+" damaged leaf", "ms", float64(value(result.DetectionMs)))
		l.add("repair", "repair of "+who+" damaged leaf", "ms", float64(value(result.RepairMs)))
		moved, stages, err := r.repairJob(ctx, g.GroupID, began)
		if err != nil {
			return err
		}
		l.add("repair", "bytes moved for a leaf", "x", moved/leaf)
		l.add("repair", "of it the job", "ms", stages)
	}
	return r.equal(ctx)
}

func (r *rig) drill(ctx context.Context, group uint32, node string) (result api.DrillResult, err error) {
	return result, r.job(ctx, fmt.Sprintf("/v1/admin/groups/%d/drill", group), url.Values{"kind": {api.DrillBitflip}, "node": {node}}, nil, &result)
}

// repairJob is what the repairs of a group since then have moved, and how long they took in ms.
func (r *rig) repairJob(ctx context.Context, group uint32, since time.Time) (bytes, ms float64, err error) {
	var list api.JobList
	if _, err := r.admin.Get(ctx, "/v1/admin/jobs", url.Values{"kind": {api.JobRepair}, "group": {fmt.Sprint(group)}}, &list); err != nil {
		return 0, 0, err
	}
	for i := range list.Jobs {
		if j := &list.Jobs[i]; !j.StartedAt.Before(since) {
			bytes += float64(j.BytesDone)
			ms += float64(j.FinishedAt.Sub(j.StartedAt.Time).Milliseconds())
		}
	}
	return bytes, ms, nil
}

// playForeground checks all groups deeply, again and again, while 1,000 writes a second go on, by turns with the writes alone;
// then once at a rate.
func playForeground(ctx context.Context, r *rig, l *ledger) error {
	load, first, end, err := r.steady(ctx)
	if err != nil {
		return err
	}
	defer end()
	deep := api.VerifyRequest{Mode: api.ModeAdvancedVerify, Deep: true}
	var read, ms int64
	alone, beside := []bench.Spell{first}, []bench.Spell(nil)
	for turn := range foregroundTurns {
		if turn > 0 {
			if err := pause.For(ctx, foregroundSpell); err != nil {
				return err
			}
			alone = append(alone, load.Mark())
		}
		for began := time.Now(); time.Since(began) < foregroundSpell; {
			result, err := r.verifyWith(ctx, deep)
			if err != nil {
				return err
			}
			read, ms = read+result.BytesRead, ms+result.DurationMs
		}
		beside = append(beside, load.Mark())
	}
	before, during := bench.Join(alone...), bench.Join(beside...)
	l.add("foreground", "p99 before a deep check", "ms", before.P99Ms)
	l.add("foreground", "p99 during a deep check", "ms", during.P99Ms)
	l.add("foreground", "p99 during a deep check against before", "x", during.P99Ms/before.P99Ms)
	l.add("foreground", "writes failed during a deep check", "writes", float64(failed(during)))
	l.add("foreground", "deep check of all nodes under load", "MB/s", megabytes(read)/(float64(ms)/1000))
	return r.paced(ctx, l, load, before, deep)
}

// paced is the deep check at a rate.
func (r *rig) paced(ctx context.Context, l *ledger, load *bench.Steady, before bench.Spell, deep api.VerifyRequest) error {
	if err := r.set(ctx, rateSetting, fmt.Sprintf("%dB", int64(pacedRate))); err != nil {
		return err
	}
	load.Mark()
	result, err := r.verifyWith(ctx, deep)
	if err != nil {
		return err
	}
	during := load.Mark()
	load.Stop()
	if err := r.set(ctx, rateSetting, "0B"); err != nil {
		return err
	}
	l.add("foreground", "p99 during a deep check at a rate against before", "x", during.P99Ms/before.P99Ms)
	// Each node has its own: with the same data on all, a third of what was read was read by each.
	rate := float64(result.BytesRead) / nodes / (float64(result.DurationMs) / 1000)
	l.add("foreground", "rate of a deep check, off the one set", "%", 100*math.Abs(rate/pacedRate-1))
	return r.settled(ctx)
}
