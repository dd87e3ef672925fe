package crashtest

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// SIGTERM ends a node within 15 s with exit 0 whatever the peers do: all at once, and one after the other, the last
// of three too, which has no quorum left. Everything is there afterwards.
func TestStopOfAllEndsInTimeAndKeepsEverything(t *testing.T) {
	for _, how := range []struct {
		name string
		stop func(*rig)
	}{{"AtOnce", (*rig).stopAll}, {"OneAfterTheOther", (*rig).stopEach}} {
		t.Run(how.name, func(t *testing.T) {
			r := newRig(t, plan{nodes: 3, devices: 300, rate: 1000})
			r.resume()
			r.awaitAcks(ackedEachRound)
			how.stop(r)
			r.pause()
			r.start()
			r.check("after the stop")
			r.verify()
		})
	}
}

func (r *rig) stopAll() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), stopLimit)
	defer cancel()
	var g errgroup.Group
	for _, p := range r.Processes {
		g.Go(func() error { return p.Stop(ctx) })
	}
	must(r.t, g.Wait())
}

func (r *rig) stopEach() {
	r.t.Helper()
	for _, p := range r.Processes {
		ctx, cancel := context.WithTimeout(r.t.Context(), stopLimit)
		began := time.Now()
		must(r.t, p.Stop(ctx))
		cancel()
		r.t.Logf("%s ended after %v", p.Name, time.Since(began).Round(time.Millisecond))
	}
}
