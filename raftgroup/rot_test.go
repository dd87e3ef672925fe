package raftgroup

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/hashicorp/raft"
)

// rotMemory is what the shared engine keeps in memory here: less than fill
// writes.
const rotMemory = 64 << 10

// rotLines gathers what hosts say of a group's log.
type rotLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *rotLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := string(b); strings.Contains(s, "log is damaged") || strings.Contains(s, "log was damaged") {
		l.lines = append(l.lines, s)
	}
	return len(b), nil
}

func (l *rotLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

func newRotCluster(t *testing.T, bolt bool) (*testCluster, *rotLines) {
	lines := &rotLines{}
	c := startTestCluster(&testCluster{t: t, bolt: bolt, memory: rotMemory, tune: func(h *HostConfig) {
		h.Logger = slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelWarn})).With("node", h.Self.Name)
	}}, 3)
	c.bear(3, 7, 8, 10) // n2 is the primary of 7 and 10
	return c, lines
}

// rot flips a bit of the entry that holds a frame, in all files of a node's log.
func rot(t *testing.T, n *testNode, frame []byte) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "shard.db" || d.Name() == "votes.db" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		for at := 0; ; found++ {
			k := bytes.Index(b[at:], frame)
			if k < 0 {
				return f.Close()
			}
			at += k + len(frame)
			if _, err := f.WriteAt([]byte{b[at-1] ^ 1}, int64(at-1)); err != nil {
				return err
			}
		}
	})
	if err != nil || found == 0 {
		t.Fatalf("rot on %s: %d places, %v", n.id.Name, found, err)
	}
}

// fill writes to another group until what was written before is only on disk.
func fill(t *testing.T, c *testCluster) {
	t.Helper()
	leader := c.leader(8)
	for i := range int64(24) {
		if _, err := leader.Propose(context.Background(), large(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// large is an entry of 40 kB.
func large(i int64) (frames []byte) {
	for k := range int64(200) {
		frames = append(frames, putFrame(fmt.Sprintf("%0200d", k), i, k)...)
	}
	return frames
}

// mustBeEqual compares the roots of all replicas at a cut.
func mustBeEqual(t *testing.T, c *testCluster, group uint32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	id, at, err := c.leader(group).Cut(ctx, "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c.applied(group, at.Index)
	roots := make(map[digest.ID]int)
	for i := range c.nodes {
		root, _, err := c.group(i, group).Root(ctx, id)
		if err != nil {
			t.Fatalf("root on %s: %v", c.nodes[i].id.Name, err)
		}
		roots[root]++
	}
	if len(roots) != 1 {
		t.Errorf("roots differ: %v", roots)
	}
}

// A follower that is behind needs entries of the leader's log that have gone bad
// on disk: one that the leader's shard.db holds, and one that only the head does.
func TestRotInARunningLeadersLogLosesNothing(t *testing.T) {
	for _, engine := range []string{"shared", "boltdb"} {
		t.Run(engine, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rotUnderAFollower(t, engine == "boltdb") })
		})
	}
}

func rotUnderAFollower(t *testing.T, bolt bool) {
	c, lines := newRotCluster(t, bolt)
	leader := c.leader(7)
	n := c.nodeOf(leader)
	first, err := leader.running()
	if err != nil {
		t.Fatal(err)
	}
	c.net.isolate("n1", true)
	want := make(map[int64]int64)
	index := make(map[int64]uint64)
	write := func(g *Group, from, to int64) {
		for i := from; i < to; i++ {
			index[i] = put(t, g, "dev", i, 1000+i)
			want[i] = 1000 + i
		}
	}
	write(leader, 0, 20)
	if _, err := leader.Shard().Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	write(leader, 20, 40)
	fill(t, c)
	if d := leader.Shard().Durable().Index; d < index[10] || d >= index[30] {
		t.Fatalf("durable at %d, the entries to rot at %d and %d", d, index[10], index[30])
	}
	rot(t, n, putFrame("dev", 10, 1010))
	rot(t, n, putFrame("dev", 30, 1030))

	began := time.Now()
	c.net.isolate("n1", false)
	await(t, "the instance to be replaced", 20*time.Second, func() bool {
		in, err := leader.running()
		return err == nil && in != first
	})
	next := c.leader(7)
	if next == leader {
		t.Error("the damaged leader did not hand over")
	}
	write(next, 40, 60)
	took := time.Since(began)
	c.applied(7, index[59])
	t.Logf("%v until the group took writes under %s", took, next.Self())
	second, _ := leader.running()
	time.Sleep(10 * time.Second)
	if now, err := leader.running(); now != second {
		t.Errorf("it started more than once (%v)", err)
	}
	if s := leader.Status(); s.LogFirst != index[30]+1 || leader.Self() != n.id.Server(0) || s.State != ReplicaReady {
		t.Errorf("the bad entry is %d; status %+v", index[30], s)
	}
	for i := range c.nodes {
		if got := readAll(t, c.group(i, 7), "dev"); !maps.Equal(got, want) {
			t.Errorf("%s holds %d points, want %d", c.nodes[i].id.Name, len(got), len(want))
		}
	}
	mustBeEqual(t, c, 7)
	if got := lines.all(); len(got) != 1 {
		t.Errorf("%d lines:\n%s", len(got), strings.Join(got, ""))
	} else {
		t.Log(got[0])
	}
	for _, n := range c.nodes {
		c.crash(n)
	}
	for _, n := range c.nodes {
		c.start(n)
	}
	if got := readAll(t, c.leader(7), "dev"); !maps.Equal(got, want) {
		t.Errorf("after the kill of all: %d points, want %d", len(got), len(want))
	}
}

// Entries that no quorum has yet are in this node's log and nowhere in its
// shard: where they rot they are written anew from memory before the log is
// dropped up to another bad entry.
func TestRotOfEntriesThatAreNotAppliedIsWrittenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, lines := newRotCluster(t, false)
		leader := c.leader(7)
		n := c.nodeOf(leader)
		if c.nodeOf(c.leader(10)) != n {
			t.Fatal("another node leads the group that fills the log")
		}
		bad := put(t, leader, "dev", 1, 1001)
		put(t, leader, "dev", 2, 1002)
		fill(t, c)
		c.net.isolate(n.id.Name, true)
		first, _ := leader.running()
		var waiting []raft.ApplyFuture
		for i := int64(3); i < 6; i++ {
			before := first.raft.LastIndex()
			waiting = append(waiting, first.raft.Apply(putFrame("dev", i, 1000+i), 0))
			await(t, "the entry in its own log", time.Second, func() bool { return first.raft.LastIndex() > before })
		}
		last := first.raft.LastIndex()
		filler, _ := n.host.Group(10)
		other, err := filler.running()
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(3) { // the engine's window moves on: only what is pinned stays in memory
			before := other.raft.LastIndex()
			waiting = append(waiting, other.raft.Apply(large(i), 0))
			await(t, "the large entry in its own log", time.Second, func() bool { return other.raft.LastIndex() > before })
		}
		for i := int64(1); i < 6; i++ {
			if i != 2 {
				rot(t, n, putFrame("dev", i, 1000+i))
			}
		}
		if err := first.entries.GetLog(bad, new(raft.Log)); err == nil {
			t.Fatal("the bad entry was read")
		}
		await(t, "the instance to be replaced", 20*time.Second, func() bool {
			in, err := leader.running()
			return err == nil && in != first
		})
		for _, p := range waiting[:3] {
			if err := p.Error(); err == nil {
				t.Errorf("a proposal without a quorum: %v", err)
			}
		}
		if s := leader.Status(); s.LogFirst != bad+1 || s.LogLast != last || s.State != ReplicaReady {
			t.Errorf("the bad entry is %d, the log ended at %d; status %+v", bad, last, s)
		}
		if got := lines.all(); len(got) != 1 {
			t.Errorf("%d lines:\n%s", len(got), strings.Join(got, ""))
		}
		// Memory is gone now: only what is on disk counts.
		c.crash(n)
		c.net.isolate(n.id.Name, true)
		c.start(n)
		g, _ := n.host.Group(7)
		in, err := g.running()
		if err != nil || g.Self() != n.id.Server(0) {
			t.Fatalf("as %s: %v", g.Self(), err)
		}
		for i := bad + 1; i <= last; i++ {
			if err := in.entries.GetLog(i, new(raft.Log)); err != nil {
				t.Errorf("entry %d: %v", i, err)
			}
		}
		c.net.isolate(n.id.Name, false)
		for i := range int64(5) { // beyond what n had: a cut at an index that a start may replay is not pinned
			put(t, c.leader(7), "dev", 10+i, i)
		}
		mustBeEqual(t, c, 7)
	})
}

// What is found bad at a start: at or below what the shard holds it is dropped,
// above it the replica has forgotten what it acked and returns as another.
func TestRotThatIsFoundAtOpen(t *testing.T) {
	for _, story := range []struct {
		name       string
		flushed    bool
		generation uint32
	}{{"TheShardHoldsIt", true, 0}, {"TheShardDoesNot", false, 1}} {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, lines := newRotCluster(t, false)
				leader := c.leader(7)
				bad := put(t, leader, "dev", 1, 1001)
				last := put(t, leader, "dev", 2, 1002)
				fill(t, c)
				c.applied(7, last)
				var n *testNode
				for _, candidate := range c.nodes {
					if candidate.id != leader.Self().NodeID {
						n = candidate
					}
				}
				g, _ := n.host.Group(7)
				if story.flushed {
					if _, err := g.Shard().Flush(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				c.crash(n)
				rot(t, n, putFrame("dev", 1, 1001))
				c.start(n)
				g, _ = n.host.Group(7)
				s := g.Status()
				if g.Self() != n.id.Server(story.generation) || (story.generation == 0) != (s.State == ReplicaReady) {
					t.Fatalf("as %s, status %+v", g.Self(), s)
				}
				if story.generation == 0 && s.LogFirst != bad+1 {
					t.Errorf("the bad entry is %d, the log begins at %d", bad, s.LogFirst)
				}
				if got := lines.all(); story.generation == 0 && len(got) != 1 {
					t.Errorf("%d lines:\n%s", len(got), strings.Join(got, ""))
				}
				if story.generation == 0 {
					c.applied(7, put(t, c.leader(7), "dev", 3, 1003))
					mustBeEqual(t, c, 7)
				}
			})
		})
	}
}
