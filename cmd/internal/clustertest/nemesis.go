package clustertest

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"
)

// Nemesis does faults at random, but from a seed: one or two at a time, which
// are undone before the next.
type Nemesis struct {
	Seed    uint64
	Pause   time.Duration // the longest one between faults
	Longest time.Duration // a fault's longest life
}

// fault does something bad and returns what it was, and what undoes it.
type fault func(c *Cluster, r *rand.Rand) (did string, undo func())

// faults are what a Nemesis chooses from; what comes twice is twice as likely.
var faults = []fault{isolateOne, isolateOne, isolateMetaLeader, delayOne, moveLeaders, crashOne, crashOne, crashAll}

// Torment runs until done is closed, then leaves every node up and every link
// whole. It returns what it did.
func (c *Cluster) Torment(n Nemesis, done <-chan struct{}) (did []string) {
	c.t.Helper()
	r := rand.New(rand.NewPCG(n.Seed, 0))
	for {
		select {
		case <-done:
			return did
		case <-time.After(time.Duration(r.Int64N(int64(n.Pause)))):
		}
		var now []string
		var undo []func()
		began := time.Now()
		for range 1 + r.IntN(2) { // the second one finds the first at work
			what, undoIt := faults[r.IntN(len(faults))](c, r)
			now, undo = append(now, what), append(undo, undoIt)
			time.Sleep(time.Duration(r.Int64N(int64(n.Longest))))
		}
		length := time.Since(began)
		for _, undoIt := range undo {
			undoIt()
		}
		did = append(did, strings.Join(now, " and ")+" for "+length.Round(time.Millisecond).String())
	}
}

func isolateOne(c *Cluster, r *rand.Rand) (string, func()) {
	i := r.IntN(len(c.nodes))
	c.Partition(i)
	return "isolate " + c.nodes[i].Name, c.Heal
}

// isolateMetaLeader cuts off whoever could tell the others about new groups.
func isolateMetaLeader(c *Cluster, r *rand.Rand) (string, func()) {
	i, ok := c.MetaLeader()
	if !ok {
		return isolateOne(c, r)
	}
	c.Partition(i)
	return "isolate the meta leader " + c.nodes[i].Name, c.Heal
}

func delayOne(c *Cluster, r *rand.Rand) (string, func()) {
	i, d := r.IntN(len(c.nodes)), time.Duration(r.IntN(200))*time.Millisecond
	c.Delay(i, d)
	return "delay " + c.nodes[i].Name + " by " + d.String(), c.Heal
}

// moveLeaders transfers the leaderships of random groups.
func moveLeaders(c *Cluster, r *rand.Rand) (string, func()) {
	for range 64 {
		group := uint32(r.IntN(int(c.nodes[0].Config.Coordinator.TotalGroups)))
		i, led := c.Leader(group)
		g, open := c.Group(i, group)
		if !led || !open {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = g.StepDown(ctx) // a leader that nobody can follow stays
		cancel()
	}
	return "move leaders", func() {}
}

// crashOne crashes a node that runs, if there is one.
func crashOne(c *Cluster, r *rand.Rand) (string, func()) {
	up := c.Up()
	if len(up) == 0 {
		return "crash nobody", func() {}
	}
	return c.crashNow(up[r.IntN(len(up))])
}

// crashAll crashes every node at the same moment.
func crashAll(c *Cluster, _ *rand.Rand) (string, func()) { return c.crashNow(c.Up()...) }

func (c *Cluster) crashNow(nodes ...int) (string, func()) {
	c.Crash(nodes...)
	names := "crash"
	for _, i := range nodes {
		names += " " + c.nodes[i].Name
	}
	return names, func() {
		for _, i := range nodes {
			c.Start(i)
		}
	}
}
