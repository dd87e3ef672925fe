package clustertest

import (
	"testing"
	"time"
)

const (
	// ledgerDevices lie in about 220 of 256 groups.
	ledgerDevices = 2 * totalGroups
	// mostGroups are at least as many as some devices of each group's share, drawn
	// by their hash, lie in.
	mostGroups  = totalGroups * 3 / 4
	loadCallers = 32
	loadRate    = 500 // points a second
)

// I1: what was acked is read back after any node was killed, and every group
// takes writes again soon.
func TestI1AckedWritesSurviveTheKillOfAnyNode(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		l := c.NewLedger("minority", ledgerDevices)
		end := c.Load(l, loadCallers, loadRate)
		time.Sleep(2 * time.Second)
		for i := range c.nodes {
			l.ResetWaits()
			c.Crash(i)
			time.Sleep(3 * time.Second)
			longest, groups := l.LongestWait()
			t.Logf("%s killed: the longest pause of %d groups was %v, of group %d", c.nodes[i].Name, groups, longest.Duration, longest.Group)
			if limit := 500 * time.Millisecond; longest.Duration > limit {
				t.Errorf("a write of group %d waited %v, allowed are %v", longest.Group, longest.Duration, limit)
			}
			c.CheckLedger(l, (i+1)%len(c.nodes))
			c.Start(i)
			t.Logf("%s ready again after %v", c.nodes[i].Name, c.AwaitReady())
		}
		end()
		t.Log(c.CheckLedger(l, 0))
	})
}

// I1: what was acked is read back after all nodes were killed at once, with
// heads that were never flushed.
func TestI1AckedWritesSurviveTheKillOfAll(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		l := c.NewLedger("all", ledgerDevices)
		for range 3 * times(t) {
			end := c.Load(l, loadCallers, loadRate)
			time.Sleep(time.Second)
			c.Crash(c.Up()...)
			end()
			for i := range c.nodes {
				c.Start(i)
			}
			t.Logf("ready after %v; %v", c.AwaitReady(), c.CheckLedger(l, 1))
		}
	})
}

// A leader that falls silent without closing its connections is replaced.
func TestI1WritesGoOnWhenANodeFallsSilent(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		l := c.NewLedger("silent", ledgerDevices)
		end := c.Load(l, loadCallers, loadRate)
		time.Sleep(2 * time.Second)
		l.ResetWaits()
		c.Partition(1)
		c.Network.Cut(c.nodes[1].Host, clientHost)
		silent := time.Now()
		c.Await("the others lead every group", 5*time.Second, func() string {
			for group := range c.nodes[0].Node().Meta().Table().Assignments {
				a, _ := c.Group(0, group)
				b, _ := c.Group(2, group)
				if !a.IsLeader() && !b.IsLeader() {
					return "not one of them"
				}
			}
			return ""
		})
		t.Log("others lead after", time.Since(silent))
		c.Heal()
		c.Network.Heal(c.nodes[1].Host, clientHost)
		time.Sleep(3 * time.Second)
		end()
		t.Log(c.CheckLedger(l, 1))
	})
}
