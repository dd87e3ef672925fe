package raftmux

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// counter is the simplest state machine: how many commands it saw.
type counter struct {
	mu    sync.Mutex
	count int
	last  string
}

func (c *counter) Apply(l *raft.Log) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	c.last = string(l.Data)
	return nil
}

func (c *counter) seen() (int, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, c.last
}

func (c *counter) Snapshot() (raft.FSMSnapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return frozen{c.count, c.last}, nil
}

func (c *counter) Restore(r io.ReadCloser) error {
	defer r.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	// The tail is padding, so that snapshots take several chunks.
	var padding int
	_, err := fmt.Fscanf(r, "%d %q %d\n", &c.count, &c.last, &padding)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, r)
	if n != int64(padding) {
		return fmt.Errorf("%d bytes of padding, not %d", n, padding)
	}
	return err
}

type frozen struct {
	count int
	last  string
}

const snapshotPadding = 5*snapshotChunk + 77

func (f frozen) Persist(sink raft.SnapshotSink) error {
	if _, err := fmt.Fprintf(sink, "%d %q %d\n", f.count, f.last, snapshotPadding); err != nil {
		return err
	}
	if _, err := sink.Write(make([]byte, snapshotPadding)); err != nil {
		return err
	}
	return sink.Close()
}

func (frozen) Release() {}

// replica is one Raft node of one group.
type replica struct {
	*raft.Raft
	transport *Transport
	fsm       *counter
	store     *raft.InmemStore
	snapshots *raft.InmemSnapshotStore
	config    *raft.Config
}

func raftConfig(id string) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id)
	c.HeartbeatTimeout, c.ElectionTimeout = 5*time.Second, 5*time.Second
	c.LeaderLeaseTimeout, c.CommitTimeout = 4*time.Second, time.Second
	c.Logger = hclog.NewNullLogger()
	c.SnapshotThreshold = 1 << 40
	c.TrailingLogs = 0
	// A pipeline sends at most this many entries a wake-up; what is left waits
	// for the next entry or for the commit timeout.
	c.MaxAppendEntries = maxEntries
	c.NoLegacyTelemetry = true
	return c
}

// openReplica starts (or restarts, with the same stores) a replica.
func openReplica(t testing.TB, nd *node, group uint32, old *replica) *replica {
	t.Helper()
	self := nd.id.Server(0)
	r := &replica{fsm: &counter{}, store: raft.NewInmemStore(), snapshots: raft.NewInmemSnapshotStore(), config: raftConfig(self.String())}
	if old != nil {
		r.store, r.snapshots = old.store, old.snapshots
	}
	r.transport = nd.Transport(group, testLineage, self)
	var err error
	if r.Raft, err = raft.NewRaft(r.config, r.fsm, r.store, r.store, r.snapshots, r.transport); err != nil {
		t.Fatalf("new raft: %v", err)
	}
	return r
}

func configuration(nodes []*node) raft.Configuration {
	var c raft.Configuration
	for _, nd := range nodes {
		id := nd.id.Server(0).String()
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return c
}

// group starts one replica a node and bootstraps them.
func group(t testing.TB, nodes []*node, id uint32) []*replica {
	t.Helper()
	var all []*replica
	for _, nd := range nodes {
		r := openReplica(t, nd, id, nil)
		if err := r.BootstrapCluster(configuration(nodes)).Error(); err != nil {
			t.Fatalf("bootstrap: %v", err)
		}
		all = append(all, r)
	}
	return all
}

func (r *replica) stop() {
	f := r.Shutdown()
	r.transport.Close()
	f.Error()
}

func stopAll(replicas []*replica) {
	var wg sync.WaitGroup
	for _, r := range replicas {
		wg.Go(r.stop)
	}
	wg.Wait()
}

func allSaw(replicas []*replica, n int) func() bool {
	return func() bool {
		for _, r := range replicas {
			if c, _ := r.fsm.seen(); c != n {
				return false
			}
		}
		return true
	}
}

func TestThreeNodesElectReplicateAndTransfer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 3)
		defer closeAll(nodes)
		replicas := group(t, nodes, 7)
		defer stopAll(replicas)
		if err := replicas[0].transport.Campaign(t.Context()); err != nil {
			t.Fatalf("campaign: %v", err)
		}
		wait(t, "a leader", time.Second, func() bool { return replicas[0].State() == raft.Leader })

		const writes = 500
		var last raft.ApplyFuture
		for i := range writes {
			last = replicas[0].Apply(fmt.Appendf(nil, "write %d \x00\xff", i), time.Second)
		}
		if err := last.Error(); err != nil {
			t.Fatalf("apply: %v", err)
		}
		wait(t, "all replicas", 3*time.Second, allSaw(replicas, writes))
		for i, r := range replicas {
			if _, text := r.fsm.seen(); text != fmt.Sprintf("write %d \x00\xff", writes-1) {
				t.Fatalf("replica %d saw %q last", i, text)
			}
		}
		target := replicas[2].config.LocalID
		if err := replicas[0].LeadershipTransferToServer(target, raft.ServerAddress(target)).Error(); err != nil {
			t.Fatalf("transfer: %v", err)
		}
		took := wait(t, "the new leader", time.Second, func() bool { return replicas[2].State() == raft.Leader })
		t.Logf("transfer took %v after the request", took)
		if err := replicas[2].Apply([]byte("x"), time.Second).Error(); err != nil {
			t.Fatalf("apply at the new leader: %v", err)
		}
	})
}

// A member that was cut off asks for pre-votes, gets none, and disturbs nobody
// when it is back: without pre-votes its term would have risen.
func TestIsolatedMemberReturnsWithoutElectionByPreVote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, nodes := cluster(t, 3)
		defer closeAll(nodes)
		replicas := group(t, nodes, 7)
		defer stopAll(replicas)
		replicas[0].transport.Campaign(t.Context())
		wait(t, "a leader", time.Second, func() bool { return replicas[0].State() == raft.Leader })
		wait(t, "a committed term", 5*time.Second, func() bool { return replicas[2].AppliedIndex() > 0 || replicas[2].LastIndex() > 1 })
		term := replicas[0].CurrentTerm()
		n.cut("n3", "n1")
		n.cut("n3", "n2")
		wait(t, "a candidate", 30*time.Second, func() bool { return replicas[2].State() == raft.Candidate })
		<-time.After(time.Minute)
		if got := replicas[2].CurrentTerm(); got != term {
			t.Fatalf("term rose from %d to %d in isolation", term, got)
		}
		n.heal("n3", "n1")
		n.heal("n3", "n2")
		wait(t, "the member is back", 15*time.Second, func() bool { return replicas[2].State() == raft.Follower })
		<-time.After(20 * time.Second)
		if replicas[0].State() != raft.Leader || replicas[0].CurrentTerm() != term {
			t.Fatalf("the leader was deposed: %v in term %d", replicas[0].State(), replicas[0].CurrentTerm())
		}
	})
}

func TestMetaGroupSnapshotIsInstalledInChunks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		crossed := map[uint32]int{}
		n, nodes := cluster(t, 3, func(c *Config) {
			c.ObserveSnapshot = func(g uint32) { mu.Lock(); crossed[g]++; mu.Unlock() }
		})
		defer closeAll(nodes)
		replicas := group(t, nodes, MetaGroup)
		defer stopAll(replicas)
		replicas[0].transport.Campaign(t.Context())
		wait(t, "a leader", time.Second, func() bool { return replicas[0].State() == raft.Leader })
		n.cut("n3", "n1")
		for i := range 100 {
			if err := replicas[0].Apply(fmt.Appendf(nil, "w%d", i), time.Second).Error(); err != nil {
				t.Fatalf("apply: %v", err)
			}
		}
		if err := replicas[0].Snapshot().Error(); err != nil {
			t.Fatalf("snapshot: %v", err)
		}
		n.heal("n3", "n1")
		wait(t, "the snapshot", time.Minute, allSaw(replicas, 100))
		mu.Lock()
		defer mu.Unlock()
		if crossed[MetaGroup] == 0 || len(crossed) != 1 {
			t.Fatalf("snapshots crossed: %v", crossed)
		}
	})
}

func TestManyGroupsElectAndReplicate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const groups = 256
		_, nodes := cluster(t, 3)
		defer closeAll(nodes)
		wait(t, "streams", time.Second, connected(nodes...))
		var all [][]*replica
		for g := range uint32(groups) {
			all = append(all, group(t, nodes, g))
		}
		defer func() {
			for _, replicas := range all {
				stopAll(replicas)
			}
		}()
		for g, replicas := range all {
			go replicas[g%3].transport.Campaign(t.Context())
		}
		took := wait(t, "all leaders", 2*time.Second, func() bool {
			for g, replicas := range all {
				if replicas[g%3].State() != raft.Leader {
					return false
				}
			}
			return true
		})
		t.Logf("%d leaders in %v of virtual time", groups, took)
		for g, replicas := range all {
			if err := replicas[g%3].Apply([]byte("x"), time.Second).Error(); err != nil {
				t.Fatalf("apply to group %d: %v", g, err)
			}
		}
		for _, replicas := range all {
			wait(t, "all replicas", 5*time.Second, allSaw(replicas, 1))
		}
		// Idle: no leader may change, and frames share messages.
		before := nodes[0].Stats()
		<-time.After(30 * time.Second)
		after := nodes[0].Stats()
		frames, messages := after.FramesOut-before.FramesOut, after.MessagesOut-before.MessagesOut
		t.Logf("idle: %d frames in %d messages a second out of one node", frames/30, messages/30)
		if messages > 30*220 {
			t.Errorf("%d messages in 30 idle seconds", messages)
		}
		for g, replicas := range all {
			if replicas[g%3].State() != raft.Leader {
				t.Errorf("group %d lost its leader while idle", g)
			}
		}
	})
}
