package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/cmd/internal/ledger"
	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	nodes       = 3
	totalGroups = 256
	// patience bounds every wait for the cluster; a busy machine is slow, a broken cluster never gets there.
	patience = 60 * time.Second
	// requestLimit bounds one HTTP request.
	requestLimit = 10 * time.Second
	// stopLimit is how long a node may take to stop, whatever the others do.
	stopLimit = 15 * time.Second
	// tailBytes is how much of a node's log is shown when a check did not hold.
	tailBytes = 1500
)

// stage is what the stories play on.
type stage struct {
	Options
	dir   string
	say   *narrator
	score *scorecard

	fleet   *fleet.Fleet
	remotes []*ledger.Remote // one a node
	admin   *apiclient.Client
	devices *devices
	history *ledger.Ledger // what the same devices wrote before
	weather *readings      // nil until they are loaded
	moves   []moved        // what copies have cost so far
}

// open starts the processes.
func (s *stage) open(ctx context.Context) (err error) {
	s.say.chapter("Three processes on loopback form a cluster")
	args := append([]string{"--log-level", "warn"}, s.NodeArgs...)
	if s.fleet, err = fleet.New(fleet.Options{Binary: s.Binary, Dir: s.dir, Nodes: nodes, Args: args}); err != nil {
		return err
	}
	if s.remotes, err = ledger.DialEach(s.fleet.RPCAddrs()); err != nil {
		return err
	}
	if s.admin, err = apiclient.New(s.fleet.HTTPAddrs(), requestLimit); err != nil {
		return err
	}
	s.devices, s.history = newDevices(s.remotes), newHistory()
	s.say.line("data in %s", s.dir)
	began := time.Now()
	if err := s.startAll(ctx); err != nil {
		return err
	}
	for _, p := range s.fleet.Processes {
		s.say.line("%s  pid %-7d rpc %s  http http://%s", p.Name, p.PID(), p.RPCAddr, p.HTTPAddr)
	}
	s.score.check("three processes form a cluster", true, "ready after %s", seconds(time.Since(began)))
	return nil
}

// startAll starts every node that does not run, and waits until all are ready.
func (s *stage) startAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.during(ctx, func() string { return "waiting until all nodes are ready" }, s.fleet.Start)
}

// during runs f and shows text until it returns.
func (s *stage) during(ctx context.Context, text func() string, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- f(ctx) }() // awaited below
	tick := time.NewTicker(liveInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			s.say.end()
			return err
		case <-tick.C:
			s.say.progress(text)
		}
	}
}

// until waits for a condition, shows text meanwhile, and reports whether it came true within patience.
func (s *stage) until(ctx context.Context, text func() string, holds func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(liveInterval)
	defer tick.Stop()
	for !holds() {
		s.say.progress(text)
		select {
		case <-ctx.Done():
			s.say.end()
			return holds()
		case <-tick.C:
		}
	}
	s.say.end()
	return true
}

// groups is the group table.
func (s *stage) groups(ctx context.Context) ([]api.Group, error) {
	var l api.GroupList
	_, err := s.admin.Get(ctx, "/v1/admin/groups", nil, &l)
	return l.Groups, err
}

// leaders counts the groups that each node leads, and the groups that are healthy.
func leaders(groups []api.Group) (leads map[string]int, healthy int) {
	leads = map[string]int{}
	for i := range groups {
		if groups[i].Leader != nil {
			leads[*groups[i].Leader]++
		}
		if groups[i].Healthy() {
			healthy++
		}
	}
	return leads, healthy
}

// spread says who leads how many: n1 leads 85, n2 86, n3 85.
func (s *stage) spread(leads map[string]int) string {
	var parts []string
	for _, p := range s.fleet.Processes {
		parts = append(parts, fmt.Sprintf("%s leads %d", p.Name, leads[p.Name]))
	}
	return strings.Join(parts, ", ")
}

// stop ends the nodes as an operator would, one after the other: the last one of three has no quorum left.
func (s *stage) stop(ctx context.Context) {
	s.say.chapter("SIGTERM, one node after the other")
	s.devices.pause()
	longest := time.Duration(0)
	for _, p := range s.fleet.Processes {
		limited, cancel := context.WithTimeout(ctx, stopLimit)
		began := time.Now()
		err := s.during(limited, func() string { return "waiting for the end of " + p.Name }, p.Stop)
		cancel()
		if err != nil {
			s.score.check("every node stops by itself", false, "%s: %v", p.Name, err)
			return
		}
		longest = max(longest, time.Since(began))
	}
	s.score.check("every node stops by itself", true, "exit 0, the slowest after %s", seconds(longest))
}

// close ends everything and removes the directory.
func (s *stage) close() error {
	s.say.end()
	var errs []error
	if s.devices != nil {
		s.devices.pause()
	}
	for _, r := range s.remotes {
		errs = append(errs, r.Close())
	}
	if s.admin != nil {
		s.admin.Close()
	}
	if s.fleet != nil {
		errs = append(errs, s.fleet.Close())
	}
	if s.Keep {
		fmt.Fprintf(s.Out, "  kept: %s\n", s.dir)
	} else {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// tails shows what the nodes said last.
func (s *stage) tails() {
	if s.fleet == nil {
		return
	}
	for _, p := range s.fleet.Processes {
		fmt.Fprintf(s.Out, "\nlast words of %s:\n%s\n", p.Name, p.Tail(tailBytes))
	}
}
