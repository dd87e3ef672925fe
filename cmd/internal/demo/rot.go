package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/flotilla-db/flotilla/cmd/internal/ledger"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// rotting is the series whose group is damaged: real readings, which are read all the time meanwhile.
var rotting = storage.Series{Database: weatherDatabase, Collection: dailyCollection, Device: "Seattle"}

// tellRot flips a bit in the file of a follower, then in that of a leader, while the devices write and readers read.
func tellRot(ctx context.Context, s *stage) error {
	if err := s.live(ctx); err != nil {
		return err
	}
	if s.weather == nil {
		if err := tellWeather(ctx, s); err != nil {
			return err
		}
	}
	s.devices.resume(ctx)
	group := storage.GroupOf(rotting.Database, rotting.Collection, rotting.Device, totalGroups)
	watch, err := s.watchReads(ctx)
	if err != nil {
		return err
	}
	for _, leads := range []bool{false, true} {
		node, err := s.replicaOf(ctx, group, leads)
		if err == nil {
			err = s.rot(ctx, group, node, leads)
		}
		if err != nil {
			return errors.Join(err, watch.end())
		}
	}
	if err := watch.end(); err != nil {
		return err
	}
	s.score.check("no read was wrong or refused meanwhile", watch.reads > 0 && watch.d.none() && watch.failed == 0,
		"%d reads of all %s readings of %s, %d values wrong, %d missing, %d reads failed",
		watch.reads, thousands(len(s.weather.values[rotting])), rotting.Device, watch.d.wrong+watch.d.extra, watch.d.missing, watch.failed)
	for _, e := range watch.d.examples {
		s.say.line("%s", e)
	}
	if err := s.verified(ctx, "after both repairs, writes going on"); err != nil {
		return err
	}
	return s.compareWeather(ctx, "real readings, after both repairs", s.fleet.Processes...)
}

// replicaOf names a node that leads the group, or one that follows, once all of its replicas are well.
func (s *stage) replicaOf(ctx context.Context, group uint32, leads bool) (node string, err error) {
	well := s.until(ctx, func() string { return fmt.Sprintf("waiting until group %d is well", group) }, func() bool {
		var g api.Group
		if _, err = s.admin.Get(ctx, fmt.Sprintf("/v1/admin/groups/%d", group), nil, &g); err != nil || !g.Healthy() || g.Job != nil {
			return false
		}
		i := slices.IndexFunc(g.Replicas, func(r api.Replica) bool { return (r.Node == *g.Leader) == leads })
		node = g.Replicas[i].Node
		return true
	})
	if !well {
		return "", errors.Join(fmt.Errorf("group %d is not well in time", group), err)
	}
	return node, nil
}

// rot damages one replica and tells what became of it.
func (s *stage) rot(ctx context.Context, group uint32, node string, leads bool) error {
	role := "a follower"
	if leads {
		role = "the leader"
	}
	args := []string{"drill", "--group", fmt.Sprint(group), "--node", node, "--kind", api.DrillBitflip, "--yes"}
	s.say.command(strings.Join(args, " "))
	var job api.Job
	var result api.DrillResult
	code := 0
	err := s.during(ctx, func() string { return "a bit of " + role + "'s shard.db has flipped" }, func(ctx context.Context) error {
		out, c, err := s.flotilla(ctx, nil, append(args, "-o", "json")...)
		if code = c; err == nil {
			err = json.Unmarshal(out, &job)
		}
		if err == nil && job.Status == api.StatusDone {
			err = json.Unmarshal(job.Result, &result)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !result.Held() {
		why := result.Why
		if job.Error != nil {
			why = *job.Error
		}
		s.score.check("rot of "+role+" is found and repaired", false, "exit code %d, found %v, repaired %v: %s", code, result.Detected, result.Repaired, why)
		return nil
	}
	s.say.line("%s", result.Damage)
	for _, f := range result.Findings {
		s.say.line("found: %s is %s on %s, devices %s: %s", f.Kind, f.Verdict, f.Node, strings.Join(f.Devices, ", "), f.Action)
	}
	judged := slices.ContainsFunc(result.Findings, func(f api.Finding) bool { return f.Node == node }) &&
		!slices.ContainsFunc(result.Findings, func(f api.Finding) bool { return f.Node != node })
	s.score.check("rot of "+role+" is found and repaired", code == 0 && judged && result.Leader == leads,
		"group %d on %s: found after %d ms, repaired %d ms later, no other replica blamed", group, node, *result.DetectionMs, *result.RepairMs)
	return nil
}

// readWatch reads the rotting series again and again, through every node in turn, and compares every value.
type readWatch struct {
	cancel context.CancelFunc
	group  sync.WaitGroup
	from   []*ledger.Remote

	reads, failed int // the reader's until end
	d             difference
}

func (s *stage) watchReads(ctx context.Context) (*readWatch, error) {
	from, err := ledger.DialEach(s.fleet.RPCAddrs())
	if err != nil {
		return nil, err
	}
	w := &readWatch{from: from}
	ctx, w.cancel = context.WithCancel(ctx)
	w.group.Go(func() { w.run(ctx, s.weather) })
	return w, nil
}

func (w *readWatch) run(ctx context.Context, all *readings) {
	for i := 0; ctx.Err() == nil; i++ {
		var read []storage.Point
		limited, cancel := context.WithTimeout(ctx, patience)
		err := w.from[i%len(w.from)].Read(limited, rotting, func(p storage.Point) error {
			read = append(read, p)
			return nil
		})
		cancel()
		switch {
		case ctx.Err() != nil:
		case err != nil:
			w.failed++
			w.d.note("a read through node %d failed: %v", i%len(w.from)+1, err)
		default:
			w.reads++
			all.compare(rotting, read, &w.d)
		}
	}
}

func (w *readWatch) end() error {
	w.cancel()
	w.group.Wait()
	var errs []error
	for _, r := range w.from {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
