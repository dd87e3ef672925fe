package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/cmd/internal/ledger"
)

// The simulated devices. Each writes one point at a time and waits for its ack: 2,000 independent callers, nothing
// merged on this side.
const (
	simulated     = 2000
	pointsASecond = 1000
	simDatabase   = "simulated"
	simCollection = "readings"
)

// devices is the load: simulated devices that write, and the ledger of what was acknowledged to them.
type devices struct {
	ledger *ledger.Ledger
	sinks  []ledger.Sink
	cancel context.CancelFunc // nil while they are quiet
	done   chan struct{}
}

func newDevices(remotes []*ledger.Remote) *devices {
	plan := ledger.Plan{Database: simDatabase, Collection: simCollection, Devices: simulated,
		Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Step: 10 * time.Second}
	return &devices{ledger: ledger.New(plan, totalGroups), sinks: ledger.Sinks(remotes)}
}

// resume lets them write until pause or the end of ctx.
func (d *devices) resume(ctx context.Context) {
	if d.cancel != nil {
		return
	}
	ctx, d.cancel = context.WithCancel(ctx)
	d.done = make(chan struct{})
	go func(done chan struct{}) { // ends with pause
		defer close(done)
		ledger.Load{Ledger: d.ledger, Sinks: d.sinks, Callers: simulated, Rate: pointsASecond}.Run(ctx)
	}(d.done)
}

// pause stops them in mid-write: a write under way is left with an unknown outcome.
func (d *devices) pause() {
	if d.cancel == nil {
		return
	}
	d.cancel()
	<-d.done
	d.cancel = nil
}

// run lets them write, from now on, until every group has acknowledged a write that was begun now, and at least so
// long. It reports whether every group did.
func (s *stage) run(ctx context.Context, atLeast time.Duration) bool {
	s.devices.ledger.ResetWaits()
	s.devices.resume(ctx)
	began := time.Now()
	var groups int
	return s.until(ctx, func() string {
		return fmt.Sprintf("%d acked, %d of %d groups have taken writes since", s.devices.ledger.Acked(), groups, totalGroups)
	}, func() bool {
		_, groups = s.devices.ledger.LongestWait()
		return groups == totalGroups && time.Since(began) >= atLeast
	})
}

// compare stops the devices, reads all of them back through some nodes and checks every promise.
func (s *stage) compare(ctx context.Context, what string, through ...*fleet.Process) error {
	s.devices.pause()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	source, err := ledger.Dial(rpcAddrs(through)...)
	if err != nil {
		return err
	}
	var report, past ledger.Report
	err = s.during(ctx, func() string { return fmt.Sprintf("reading %d devices back", simulated) },
		func(ctx context.Context) (err error) {
			if report, err = s.devices.ledger.Check(ctx, source); err == nil {
				past, err = s.history.Check(ctx, source)
			}
			return err
		})
	if err = errors.Join(err, source.Close()); err != nil {
		return err
	}
	s.score.check(what, report.OK() && report.Acked > 0, "%s", report)
	if past.Acked > 0 {
		s.score.check("history, "+what, past.OK(), "%s", past)
	}
	for _, e := range append(report.Examples, past.Examples...) {
		s.say.line("%s", e)
	}
	return nil
}

func rpcAddrs(of []*fleet.Process) []string {
	var addrs []string
	for _, p := range of {
		addrs = append(addrs, p.RPCAddr)
	}
	return addrs
}
