package clustertest

import (
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
)

// A node of one cluster that is told to join another one stays what it is: both
// say so, and neither changes.
func TestJoinOfAnotherClusterIsRefused(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		c := New(t, func(_ int, cfg *config.Config) { cfg.Join = nil })
		c.Add()
		c.Add() // a cluster of its own
		c.AwaitReady()
		if _, err := c.Client(1).Write(t.Context(), batch("theirs", 10, 1, 1)); err != nil {
			t.Fatal(err)
		}
		ours, theirs := c.nodes[0].Node().Meta().Table().ClusterID, c.nodes[1].Node().Meta().Table().ClusterID
		if ours == theirs {
			t.Fatal("one cluster")
		}
		c.Stop(1)
		c.nodes[1].Config.Join = []string{c.nodes[0].Config.GossipAddr}
		c.nodes[1].fatal = true // it may refuse to run
		c.Start(1)
		time.Sleep(30 * time.Second)
		if !c.log.contains("belongs to cluster "+ours, theirs) && !c.log.contains(ours, "check --join") {
			t.Error("no clear line")
		}
		for i, want := range []string{ours, theirs} {
			table := c.nodes[i].Node().Meta().Table()
			if table.ClusterID != want || len(table.Nodes) != 1 {
				t.Errorf("%s: cluster %s with %d nodes, want %s alone", c.nodes[i].Name, table.ClusterID, len(table.Nodes), want)
			}
		}
		select {
		case err := <-c.nodes[1].Node().Failed():
			t.Log("it stops:", err)
		default:
		}
	})
}
