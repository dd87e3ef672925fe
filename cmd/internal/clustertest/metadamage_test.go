package clustertest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What a node has on disk of the meta group goes bad, or is removed, while it is down: it goes on as a new incarnation in the
// place of the old one, and the others go on meanwhile.
func TestNodeWhoseMetaGroupIsDamagedIsMadeWholeAgain(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		l := c.NewLedger("meta", ledgerDevices)
		end := c.Load(l, 4, 100)
		defer end()
		time.Sleep(3 * time.Second)
		for i, story := range []struct {
			name  string
			spoil func(i int)
		}{
			{"a byte of the newest vote is bad", func(i int) {
				path := filepath.Join(c.nodes[i].Config.DataDir, "meta", "raft.db")
				b, err := os.ReadFile(path)
				must(t, err)
				for at := 0; ; at++ { // in whatever page it lies
					next := bytes.Index(b[at:], []byte("Vote"))
					if next < 0 {
						break
					}
					at += next
					overwrite(t, path, int64(at+7), []byte{b[at+7] ^ 1})
				}
			}},
			{"the folder was removed", func(i int) {
				must(t, os.RemoveAll(filepath.Join(c.nodes[i].Config.DataDir, "meta")))
			}},
		} {
			was := c.nodes[i].Node().ID()
			c.Crash(i)
			story.spoil(i)
			c.AwaitLeaders(30 * time.Second)
			c.Start(i)
			took := c.AwaitReady()
			now := c.nodes[i].Node().ID()
			if now.Name != was.Name || now == was {
				t.Errorf("%s: %v is %v now", story.name, was, now)
			}
			c.Await("all have the same assignments, with the node in them", time.Minute, func() string {
				table := c.nodes[i].Node().Meta().Table()
				for k := range c.nodes {
					other := c.nodes[k].Node().Meta().Table()
					if other.Index != table.Index || other.Nodes[now.Name].NodeID != now {
						time.Sleep(lookPause)
						return "not yet on " + c.nodes[k].Name
					}
				}
				return ""
			})
			t.Logf("%s: ready after %v", story.name, took)
		}
		time.Sleep(time.Second)
		end()
		if groups, err := c.CompareRoots(); err != nil || groups == 0 {
			t.Errorf("%d groups: %v", groups, err)
		}
		t.Log(c.CheckLedger(l, 0))
	})
}
