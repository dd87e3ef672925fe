package clustertest

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A group that could not be opened for a reason that passes is opened later,
// though nothing in the table changes.
func TestGroupThatCouldNotBeOpenedIsTriedAgain(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		points := batch("dev", 20, 1, 1)
		if _, err := c.Client().Write(t.Context(), points); err != nil {
			t.Fatal(err)
		}
		group := groupOf(points[0].Device)
		c.Crash(2)
		dir := filepath.Join(c.nodes[2].Config.DataDir, "groups", strconv.FormatUint(uint64(group), 10))
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(os.Rename(dir, dir+".away"))
		must(os.WriteFile(dir, []byte("in the way"), 0o600))
		c.Start(2)
		c.Await("all other groups run", time.Minute, func() string {
			for id := range c.nodes[0].Node().Meta().Table().Assignments {
				if g, open := c.Group(2, id); id != group && (!open || !g.Running()) {
					return "group " + strconv.FormatUint(uint64(id), 10)
				}
			}
			return ""
		})
		time.Sleep(time.Minute) // whatever else changes the table is over
		g, open := c.Group(2, group)
		if !open || g.Running() || g.Status().Why == "" {
			t.Fatalf("the group runs, or does not say why not: %+v", g.Status())
		}
		must(os.Remove(dir))
		must(os.Rename(dir+".away", dir))
		c.Await("the group runs", 10*time.Second, func() string {
			if !g.Running() {
				return g.Status().Why
			}
			return ""
		})
		c.AwaitReady()
	})
}
