package clustertest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// rotten is the collection whose entries go bad.
const rotten = "rotten"

// rot flips a bit in each n-th entry of the rotten collection in a node's log.
func (c *Cluster) rot(t *testing.T, i, n int) (flipped int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.nodes[i].Config.DataDir, "log", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of log, %v", len(files), err)
	}
	name := []byte(rotten)
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for at, seen := 0, 0; ; seen++ {
			k := bytes.Index(b[at:], name)
			if k < 0 {
				break
			}
			at += k + len(name)
			if seen%n != 0 {
				continue
			}
			if _, err := f.WriteAt([]byte{b[at-1] ^ 1}, int64(at-1)); err != nil {
				t.Fatal(err)
			}
			flipped++
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return flipped
}

var damagedGroup = regexp.MustCompile(`log was damaged.* group=(\d+)`)

// I1, I4: while a node is down the log of another one, which leads groups that
// the first will ask, goes bad on disk. The groups go on under others, nothing
// acked is missing, and the replicas are equal.
func TestI1RotInARunningLogLosesNothing(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		l := c.NewLedger(rotten, ledgerDevices)
		end := c.Load(l, loadCallers, loadRate)
		time.Sleep(time.Second)
		c.Crash(2)
		time.Sleep(2 * time.Second)
		end()
		c.Crash(0) // its memory forgets the entries
		c.Start(0)
		c.AwaitReady()
		leads := func() (groups int) {
			for _, g := range c.nodes[0].Node().Groups().Groups() {
				if g.IsLeader() {
					groups++
				}
			}
			return groups
		}
		c.Await("n1 leads its share", time.Minute, func() string {
			if got := leads(); got < totalGroups/6 {
				return fmt.Sprintf("%d groups", got)
			}
			return ""
		})
		t.Logf("%d entries of n1's log went bad, it leads %d groups", c.rot(t, 0, 2), leads())
		later := c.NewLedger("later", ledgerDevices)
		end = c.Load(later, loadCallers, loadRate)
		c.Start(2)
		t.Logf("ready after %v", c.AwaitReady())
		time.Sleep(2 * time.Second)
		end()
		lines := make(map[string]int)
		for _, m := range damagedGroup.FindAllStringSubmatch(c.log.String(), -1) {
			lines[m[1]]++
		}
		if len(lines) == 0 {
			t.Error("no log was found to be damaged: the test shows nothing")
		}
		for group, n := range lines {
			if n != 1 {
				t.Errorf("%d lines for group %s", n, group)
			}
		}
		t.Logf("%d groups started again; %v", len(lines), c.CheckLedger(l, 0))
		for i := range c.nodes {
			c.CheckLedger(l, i)
			c.CheckLedger(later, i)
		}
		if groups, err := c.CompareRoots(); err != nil || groups < mostGroups {
			t.Errorf("%d groups: %v", groups, err)
		}
	})
}
