package raftgroup

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

// I3: what the FSM is handed rises strictly, and is each command and
// configuration entry of the log once: over elections, a change of the
// configuration, a trim and a crash.
func TestI3EveryEntryReachesTheShardOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		lives := make(map[string][][]storage.Entry) // by node, one slice a life
		c := newTestCluster(t, 3, func(h *HostConfig) {
			name := h.Self.Name
			mu.Lock()
			lives[name] = append(lives[name], nil)
			mu.Unlock()
			h.observe = func(_ uint32, entries []storage.Entry) {
				mu.Lock()
				defer mu.Unlock()
				life := &lives[name][len(lives[name])-1]
				for _, e := range entries {
					e.Data = slices.Clone(e.Data)
					*life = append(*life, e)
				}
			}
		})
		c.bear(3, 7)
		stranger := c.nodes[0].id.Server(9) // never opens; a non-voter does no harm
		var last uint64
		for round := range 6 {
			leader := c.leader(7)
			for i := range 5 {
				last = put(t, leader, "dev", int64(round*5+i), 1)
			}
			c.applied(7, last)
			switch round {
			case 0, 3:
				if err := leader.StepDown(context.Background()); err != nil {
					t.Fatal(err)
				}
			case 1:
				_, prev, err := leader.Members()
				if err != nil {
					t.Fatal(err)
				}
				if err := leader.AddNonvoter(context.Background(), stranger, prev); err != nil {
					t.Fatal(err)
				}
			case 2:
				if err := c.group(1, 7).Trim(context.Background()); err != nil {
					t.Fatal(err)
				}
			case 4:
				c.crash(c.nodes[1])
				c.start(c.nodes[1])
			}
		}
		c.applied(7, last)

		// The log of a node that was not trimmed is the reference.
		in, err := c.group(0, 7).running()
		if err != nil {
			t.Fatal(err)
		}
		var want []storage.Entry
		for index := uint64(1); index <= last; index++ {
			var l raft.Log
			if err := in.entries.GetLog(index, &l); err != nil {
				t.Fatal(err)
			}
			if l.Type == raft.LogCommand || l.Type == raft.LogConfiguration {
				want = append(want, storage.Entry{Index: l.Index, Term: l.Term, Config: l.Type == raft.LogConfiguration, Data: l.Data})
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for name, list := range lives {
			for n, life := range list {
				if len(life) == 0 {
					continue
				}
				at := slices.IndexFunc(want, func(e storage.Entry) bool { return e.Index == life[0].Index })
				if at < 0 || n == 0 && at != 0 {
					t.Errorf("%s, life %d begins at %d", name, n, life[0].Index)
					continue
				}
				for i, e := range life {
					if e.Index > last {
						break
					}
					w := want[at+i]
					if e.Index != w.Index || e.Term != w.Term || e.Config != w.Config || string(e.Data) != string(w.Data) {
						t.Errorf("%s, life %d: entry %d in place of %d", name, n, e.Index, w.Index)
						break
					}
				}
			}
		}
		encoded, index := in.shard.Configuration()
		if len(encoded) == 0 || index < 2 {
			t.Errorf("the shard knows the configuration of index %d", index)
		}
	})
}
