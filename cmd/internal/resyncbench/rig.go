package resyncbench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
)

const (
	nodes = 3
	// patience bounds one wait for the cluster.
	patience = 5 * time.Minute
	// requestLimit bounds one request.
	requestLimit = 10 * time.Second
	poll         = 100 * time.Millisecond
	// slowPoll is for what lasts: to describe 256 groups or jobs costs the nodes 30 ms of CPU, which ten times a second would
	// be a third of a core taken from what is measured. Jobs tell their own times.
	slowPoll  = time.Second
	tailBytes = 2000
)

// rig is the cluster that is measured. The last node is the one that is copied to.
type rig struct {
	fleet   *fleet.Fleet
	admin   *apiclient.Client
	series  *[totalGroups]seriesBySlot
	shape   shape
	bytes   int64 // of all leaves of a node, when filled
	changes int   // how often leaves were changed below Raft
	say     func(format string, args ...any)
}

// open starts the nodes and makes every group live.
func (r *rig) open(ctx context.Context, binary, dir string) (err error) {
	args := []string{"--log-level", "warn"}
	if r.fleet, err = fleet.New(fleet.Options{Binary: binary, Dir: dir, Nodes: nodes, Args: args}); err != nil {
		return err
	}
	if r.admin, err = apiclient.New(r.fleet.HTTPAddrs(), requestLimit); err != nil {
		return err
	}
	if err := r.start(ctx, r.fleet.Processes...); err != nil {
		return err
	}
	r.say("first points of all groups")
	return r.touch(ctx)
}

// touch writes one point of every series, before the windows that are filled.
func (r *rig) touch(ctx context.Context) error {
	c, err := client.New(client.Options{Addrs: r.fleet.RPCAddrs(), RetryFor: patience})
	if err != nil {
		return err
	}
	defer c.Close()
	var points []storage.Point
	for g := range r.series {
		points = append(points, storage.Point{Series: r.series[g][0], Time: start.Add(-time.Hour).UnixNano(),
			Fields: []storage.Field{{Name: fieldNames[0], Value: firstValue}}})
	}
	if _, err := c.Write(ctx, points); err != nil {
		return fmt.Errorf("first points: %w", err)
	}
	return r.settled(ctx)
}

// start starts nodes that do not run and waits until they are ready.
func (r *rig) start(ctx context.Context, which ...*fleet.Process) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, p := range which {
		if err := p.Start(); err != nil {
			return err
		}
	}
	for _, p := range which {
		if err := p.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop ends nodes as an operator would, in this order.
func (r *rig) stop(ctx context.Context, which ...*fleet.Process) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, p := range which {
		if err := p.Stop(ctx); err != nil {
			return fmt.Errorf("%w\n%s", err, p.Tail(tailBytes))
		}
	}
	return nil
}

// settled waits until every group has a leader and all of its replicas hold what it committed.
func (r *rig) settled(ctx context.Context) error {
	return r.until(ctx, "every group is healthy on three nodes", func(groups []api.Group) string {
		if len(groups) < totalGroups {
			return fmt.Sprintf("%d groups exist", len(groups))
		}
		for i := range groups {
			g := &groups[i]
			if len(g.Replicas) != nodes || !g.Healthy() {
				return fmt.Sprintf("group %d is not", g.GroupID)
			}
			for _, replica := range g.Replicas {
				if replica.AppliedIndex < g.CommitIndex {
					return fmt.Sprintf("group %d has not applied all on %s", g.GroupID, replica.Node)
				}
			}
		}
		return ""
	})
}

// led waits until every group has a leader.
func (r *rig) led(ctx context.Context) error {
	return r.until(ctx, "every group has a leader", func(groups []api.Group) string {
		i := slices.IndexFunc(groups, func(g api.Group) bool { return g.Leader == nil })
		if i >= 0 || len(groups) < totalGroups {
			return fmt.Sprintf("%d groups, one without a leader: %d", len(groups), i)
		}
		return ""
	})
}

// until asks for the groups until missing names nothing.
func (r *rig) until(ctx context.Context, what string, missing func([]api.Group) string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last := "no answer yet"
	for {
		var l api.GroupList
		if _, err := r.admin.Get(ctx, "/v1/admin/groups", nil, &l); err != nil {
			last = err.Error()
		} else if last = missing(l.Groups); last == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w: %s", what, ctx.Err(), last)
		case <-time.After(slowPoll):
		}
	}
}

// equal checks that all replicas hold the same, by the roots of a cut.
func (r *rig) equal(ctx context.Context) error {
	result, err := r.verify(ctx, api.ModeAdvancedVerify)
	if err == nil && (result.GroupsEqual != totalGroups || result.ExitCode() != 0) {
		err = fmt.Errorf("%d of %d groups are equal", result.GroupsEqual, totalGroups)
	}
	if err != nil {
		return fmt.Errorf("compare all replicas: %w", err)
	}
	return nil
}

func (r *rig) verify(ctx context.Context, mode string) (api.VerifyResult, error) {
	return r.verifyWith(ctx, api.VerifyRequest{Mode: mode})
}

func (r *rig) dirs() []string {
	var dirs []string
	for _, p := range r.fleet.Processes {
		dirs = append(dirs, p.DataDir)
	}
	return dirs
}

// target is the node that scenes take away.
func (r *rig) target() *fleet.Process { return r.fleet.Processes[nodes-1] }

// others are the nodes that stay.
func (r *rig) others() []*fleet.Process { return r.fleet.Processes[:nodes-1] }

// allGroups are the numbers of all groups.
func allGroups() []uint32 {
	all := make([]uint32, totalGroups)
	for i := range all {
		all[i] = uint32(i)
	}
	return all
}

// tails are the last words of all nodes.
func (r *rig) tails() {
	for _, p := range r.fleet.Processes {
		r.say("last words of %s:\n%s", p.Name, p.Tail(tailBytes))
	}
}

func (r *rig) close() error {
	if r.admin != nil {
		r.admin.Close()
	}
	if r.fleet == nil {
		return nil
	}
	return r.fleet.Close()
}

// wipe removes the data directory of a node that does not run.
func wipe(p *fleet.Process) error {
	if p.Running() {
		return fmt.Errorf("wipe %s: it runs", p.Name)
	}
	return os.RemoveAll(p.DataDir)
}
