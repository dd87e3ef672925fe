package raftgroup

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// scene is a group of three: a leader that stays, a target that falls behind,
// and a third voter.
type scene struct {
	*testCluster
	t             *testing.T
	leader        *Group
	target, third *testNode
	want          map[int64]int64 // what was acked
}

func newScene(t *testing.T, bolt bool, tune func(*HostConfig)) *scene {
	t.Helper()
	c := newTestClusterOn(t, 3, bolt, tune)
	c.bear(3, 7)
	s := &scene{testCluster: c, t: t, leader: c.leader(7), want: make(map[int64]int64)}
	for _, n := range c.nodes {
		switch {
		case n == c.nodeOf(s.leader):
		case s.target == nil:
			s.target = n
		default:
			s.third = n
		}
	}
	return s
}

// write acks n points and returns the index of the last.
func (s *scene) write(n int) (last uint64) {
	s.t.Helper()
	for range n {
		at := int64(len(s.want))
		last = put(s.t, s.leader, "dev", at, at*7)
		s.want[at] = at * 7
	}
	return last
}

// replica is the target's.
func (s *scene) replica() *Group {
	s.t.Helper()
	g, ok := s.target.host.Group(7)
	if !ok {
		s.t.Fatal("the target has no replica")
	}
	return g
}

func (s *scene) trim(groups ...*Group) {
	s.t.Helper()
	for _, g := range groups {
		if err := g.Trim(context.Background()); err != nil {
			s.t.Fatalf("trim %s: %v", g.Self(), err)
		}
	}
}

func (s *scene) hold(g *Group) *Hold {
	s.t.Helper()
	h, err := g.TakeHold(context.Background(), "job")
	if err != nil {
		s.t.Fatalf("hold %s: %v", g.Self(), err)
	}
	return h
}

// copied is a state of the leader, on its way.
type copied struct {
	view     *storage.View
	state    []byte
	cut      storage.Durable
	manifest []digest.Entry
	lineage  string
}

// cut makes one, as stages 1 and 3 would, and holds its record.
func (s *scene) cut() copied {
	s.t.Helper()
	c := s.cutOnly()
	if _, err := s.leader.HoldRecord("job", c.cut); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// cutOnly holds no record: that comes with the install.
func (s *scene) cutOnly() copied {
	s.t.Helper()
	ctx := context.Background()
	if _, err := s.leader.Lease(ctx, storage.Lease{ID: "job", Purpose: "resync", TTL: time.Hour}); err != nil {
		s.t.Fatal(err)
	}
	r, err := s.leader.CutWith(ctx, CutOptions{Purpose: "resync", TTL: time.Hour, HoldLog: true, MaxPause: time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	view, err := s.leader.Shard().AwaitView(ctx, r.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.look(view)
}

func (s *scene) look(view *storage.View) (c copied) {
	s.t.Helper()
	var err error
	if c.state, err = view.State(); err != nil {
		s.t.Fatal(err)
	}
	if c.cut, err = storage.ParseState(c.state); err != nil {
		s.t.Fatal(err)
	}
	if _, c.manifest, err = view.Root(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	c.view, c.lineage = view, s.leader.Lineage()
	return c
}

// stage fetches what the target needs.
func (s *scene) stage(g *Group, c copied, base *storage.View) *storage.Stage {
	s.t.Helper()
	ctx, host := context.Background(), g.host
	o := host.shardOptions(7, c.lineage)
	if err := os.MkdirAll(g.StagingDir(), 0o750); err != nil {
		s.t.Fatal(err)
	}
	stage, err := storage.OpenStage(storage.StageOptions{
		Path: filepath.Join(g.StagingDir(), StageFile), Identity: o.Identity, Window: o.Window, InitialMmapSize: o.InitialMmapSize,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	missing, err := storage.Assembly{Stage: stage, Base: base, Manifest: c.manifest}.Missing(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range missing {
		b, err := c.view.LeafBytes(ctx, e.Leaf)
		if err == nil {
			err = stage.Put(b, e)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if err := stage.Commit(); err != nil {
		s.t.Fatal(err)
	}
	return stage
}

// install brings the held replica to the copy.
func (s *scene) install(h *Hold, c copied, inPlace bool) error {
	s.t.Helper()
	var base *storage.View
	if inPlace {
		base = h.View()
	}
	return h.Install(context.Background(), Installation{
		Lineage: c.lineage, State: c.state, Cut: c.cut, Manifest: c.manifest, InPlace: inPlace,
		Stage: s.stage(h.group, c, base),
	})
}

// equal waits until the target serves all that was acked, and compares roots at a
// cut of all that run.
func (s *scene) equal() {
	s.t.Helper()
	s.leader = s.testCluster.leader(7)
	s.applied(7, s.write(1))
	for _, n := range s.nodes {
		if n.host == nil {
			continue
		}
		if g, ok := n.host.Group(7); ok && g.Running() {
			if got := readAll(s.t, g, "dev"); !maps.Equal(got, s.want) {
				s.t.Errorf("%s holds %d points, acked were %d", g.Self(), len(got), len(s.want))
			}
		}
	}
	id, _, err := s.leader.Cut(context.Background(), "test", time.Minute)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := make(map[digest.ID]bool)
	for _, n := range s.nodes {
		if n.host == nil {
			continue
		}
		g, ok := n.host.Group(7)
		if !ok || !g.Running() {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		root, _, err := g.Root(ctx, id)
		cancel()
		if err != nil && !errors.Is(err, storage.ErrNotPinned) {
			s.t.Errorf("root on %s: %v", g.Self(), err)
		}
		roots[root] = true
	}
	if len(roots) != 1 {
		s.t.Errorf("%d roots at one cut", len(roots))
	}
}

// serves checks that the target is back in service as a voter under its old id.
func (s *scene) serves(as string) {
	s.t.Helper()
	g := s.replica()
	await(s.t, "the target in service", time.Minute, func() bool { return g.Status().State == ReplicaReady })
	if st := g.Status(); st.Why != "" || st.Self.String() != as {
		s.t.Errorf("it is %s as %s: %q", st.State, st.Self, st.Why)
	}
}

// nodeOf2 finds the node of a replica by its server id, also when it is down.
func (s *scene) nodeOf2(g *Group) *testNode {
	s.t.Helper()
	for _, n := range s.nodes {
		if n.id == g.Self().NodeID {
			return n
		}
	}
	s.t.Fatalf("no node of %s", g.Self())
	return nil
}

// applied2 waits for one node's replica.
func (s *scene) applied2(n *testNode, index uint64) {
	s.t.Helper()
	await(s.t, "index on "+n.id.Name, time.Minute, func() bool {
		g, ok := n.host.Group(7)
		return ok && g.Shard() != nil && g.Shard().Applied().Index >= index
	})
}
