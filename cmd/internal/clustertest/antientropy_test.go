package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// scarred is the text that every point of these tests carries: rot looks for it
// in files.
const scarred = "a-text-that-is-found-in-the-file"

// scarredRows is how many points each device has.
const scarredRows = 50

// rotScene is three nodes with points of which a text lies in the blocks as it
// was written.
type rotScene struct {
	*Cluster
	devices []string // by group
}

func newRotScene(t *testing.T, tune func(int, *config.Config), before ...func(*Cluster)) *rotScene {
	t.Helper()
	s := &rotScene{Cluster: New(t, tune)}
	for _, change := range before {
		change(s.Cluster)
	}
	for range 3 {
		s.Add()
	}
	s.AwaitReady()
	s.devices = devicesOfAllGroups()[:8]
	var points []client.Point
	for _, device := range s.devices {
		for at := range int64(scarredRows) {
			p := point(device, at+1, at)
			p.Fields = append(p.Fields, client.Field{Name: "text", Value: client.Text(fmt.Sprintf("%s-%d", scarred, at))})
			points = append(points, p)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), opTimeout)
	defer cancel()
	if _, err := s.Client(0).Write(ctx, points); err != nil {
		t.Fatal(err)
	}
	s.awaitLevel()
	for i := range s.nodes {
		for group := range s.devices {
			g, ok := s.Group(i, uint32(group))
			if !ok {
				t.Fatalf("group %d is not on %s", group, s.nodes[i].Name)
			}
			if _, err := g.Shard().Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// rotShard flips a bit inside a value of a group's file on a node that runs.
func (s *rotScene) rotShard(t *testing.T, node int, group uint32) {
	t.Helper()
	path := filepath.Join(s.nodes[node].Config.DataDir, "groups", fmt.Sprint(group), "shard.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(b), scarred)
	if at < 0 {
		t.Fatalf("the text is not in %s", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off := strings.Index(string(b), scarred); off >= 0; { // in every page that has it: older ones are not read
		if _, err := f.WriteAt([]byte{b[off] ^ 1}, int64(off)); err != nil {
			t.Fatal(err)
		}
		next := strings.Index(string(b[off+1:]), scarred)
		if next < 0 {
			break
		}
		off += 1 + next
	}
}

// holds is what the file of a replica holds, leaf by leaf, read from its bytes.
func (c *Cluster) holds(node int, group uint32) []digest.Entry {
	c.t.Helper()
	g, ok := c.Group(node, group)
	if !ok || g.Shard() == nil {
		c.t.Errorf("group %d does not run on %s", group, c.nodes[node].Name)
		return nil
	}
	v, err := g.Shard().Look(c.t.Context())
	if err != nil {
		c.t.Errorf("group %d on %s: %v", group, c.nodes[node].Name, err)
		return nil
	}
	defer v.Close()
	states, err := v.States(c.t.Context(), true, nil)
	if err != nil {
		c.t.Errorf("group %d on %s: %v", group, c.nodes[node].Name, err)
	}
	var list []digest.Entry
	for _, l := range states {
		if l.Err != nil {
			c.t.Errorf("group %d on %s: %v", group, c.nodes[node].Name, l.Err)
		}
		if l.Points > 0 {
			list = append(list, l.Entry)
		}
	}
	return list
}

// verify runs a check through a node, and waits for its end.
func (s *rotScene) verify(t *testing.T, r api.VerifyRequest) api.VerifyResult {
	t.Helper()
	job, err := s.nodes[0].Node().Gateway().Verify(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	s.Await("the check ends", 10*time.Minute, func() string {
		time.Sleep(lookPause)
		if job, err = s.nodes[0].Node().Gateway().GetJob(t.Context(), job.ID); err != nil {
			t.Fatal(err)
		}
		if !job.Final() {
			return fmt.Sprintf("%+v", job)
		}
		return ""
	})
	var result api.VerifyResult
	if err := json.Unmarshal(job.Result, &result); err != nil {
		t.Fatalf("%+v: %v", job, err)
	}
	t.Logf("verify %+v: %+v, exit code %d", r, result, result.ExitCode())
	return result
}

// follower is a node that holds a group and does not lead it.
func (s *rotScene) follower(t *testing.T, group uint32) int {
	t.Helper()
	for i := range s.nodes {
		if g, ok := s.Group(i, group); ok && !g.IsLeader() {
			return i
		}
	}
	t.Fatal("no follower")
	return 0
}

func (s *rotScene) rotIsFoundAndMended(t *testing.T, node int, group uint32) {
	t.Helper()
	s.rotShard(t, node, group)
	r := s.verify(t, api.VerifyRequest{Deep: true, Repair: true})
	if r.ExitCode() != 0 || r.GroupsDamaged != 1 || r.GroupsRepaired != 1 || len(r.Findings) == 0 {
		t.Fatalf("%+v", r)
	}
	f := r.Findings[0]
	if f.GroupID != group || f.Node != s.nodes[node].Name || f.Kind != api.FindingData || f.Verdict != api.FoundUnreadable || f.Action != api.ActionRepaired {
		t.Errorf("finding %+v", f)
	}
	jobs, _, err := s.nodes[0].Node().Gateway().ListJobs(t.Context(), gateway.JobFilter{Kind: api.JobRepair})
	if err != nil || len(jobs) != 1 || jobs[0].Kind != api.JobRepair || jobs[0].Status != api.StatusDone {
		t.Errorf("jobs %+v, %v", jobs, err)
	}
	if r := s.verify(t, api.VerifyRequest{Deep: true}); r.ExitCode() != 0 || r.GroupsEqual != r.GroupsTotal || len(r.Findings) != 0 {
		t.Errorf("again: %+v", r)
	}
	g, _ := s.Group(node, group)
	if state := g.Status(); state.State.String() != api.ReplicaReady {
		t.Errorf("state %v: %s", state.State, state.Why)
	}
	if _, err := s.CompareRoots(); err != nil {
		t.Error(err)
	}
}

// A bit flips inside a value of a follower's shard while the node runs: a deep
// check with repair finds it, has it mended by a job of its own, and is sure.
func TestRotOfAFollowerIsFoundJudgedAndMended(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := newRotScene(t, nil)
		s.rotIsFoundAndMended(t, s.follower(t, 3), 3)
	})
}

// The leader has no weight: it hands over, and is mended like any other.
func TestRotOfALeaderIsFoundJudgedAndMended(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := newRotScene(t, nil)
		leader, ok := s.Leader(5)
		if !ok {
			t.Fatal("no leader")
		}
		s.rotIsFoundAndMended(t, leader, 5)
	})
}

// With checks of its own a cluster needs nobody: the first read that meets the
// rot is answered rightly by another replica, and the rotten one is mended.
func TestRotIsMetByAReadThatGetsTheRightAnswer(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := newRotScene(t, func(_ int, c *config.Config) { c.Storage.AntiEntropy.Enabled = true })
		const group = 3
		leader, ok := s.Leader(group)
		if !ok {
			t.Fatal("no leader")
		}
		s.rotShard(t, leader, group)
		for i := range s.nodes {
			points := 0
			q := client.Query{Database: database, Collection: collection, Devices: []string{s.devices[group]}}
			if err := s.Client(i).Query(t.Context(), q, func(_ string, c *client.Columns) error {
				for row := range c.Times {
					v, ok := c.Lookup(row, "text")
					if !ok || !strings.HasPrefix(v.Str, scarred) {
						t.Errorf("row %d is %v", row, v)
					}
					points++
				}
				return nil
			}); err != nil || points != 50 {
				t.Errorf("read through %s: %d points, %v", s.nodes[i].Name, points, err)
			}
		}
		took := s.Await("the replica is mended", time.Minute, func() string {
			time.Sleep(lookPause)
			g, ok := s.Group(leader, group)
			if !ok {
				return "closed"
			}
			if st := g.Status(); st.State.String() != api.ReplicaReady {
				return st.Why
			}
			jobs, _, err := s.nodes[0].Node().Gateway().ListJobs(t.Context(), gateway.JobFilter{Kind: api.JobRepair})
			if err != nil || len(jobs) == 0 || !jobs[0].Final() {
				return fmt.Sprintf("%+v, %v", jobs, err)
			}
			return ""
		})
		t.Logf("mended after %v", took)
		if r := s.verify(t, api.VerifyRequest{Deep: true}); r.ExitCode() != 0 || len(r.Findings) != 0 {
			t.Errorf("%+v", r)
		}
		kinds := map[string]int{}
		for i := range s.nodes {
			events, _ := s.nodes[i].Node().Gateway().Events(0)
			for _, e := range events {
				kinds[e.Kind]++
			}
		}
		for _, kind := range []string{api.EventReplica, api.EventFinding, api.EventRepair, api.EventJob} {
			if kinds[kind] < len(s.nodes) { // every node knows
				t.Errorf("%d events of kind %s: %v", kinds[kind], kind, kinds)
			}
		}
	})
}

// Each kind of damage that a drill knows is found by a deep check, on a follower,
// and mended; what differs is found without reading everything, too.
func TestEveryKindOfDamageIsFoundAndMended(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := newRotScene(t, nil)
		for group, how := range storage.Spoilings {
			group := uint32(group)
			node := s.follower(t, group)
			g, _ := s.Group(node, group)
			done, err := g.Shard().Spoil(t.Context(), how, func(n int) int { return n / 2 })
			if err != nil {
				t.Errorf("%s: %v", how, err)
				continue
			}
			t.Logf("%s of group %d on %s: %s", how, group, s.nodes[node].Name, done.Text)
			differs := how == storage.SpoilDivergent || how == storage.SpoilMissing
			if r := s.verify(t, api.VerifyRequest{Groups: []uint32{group}, Deep: !differs}); r.ExitCode() != 5 || len(r.Findings) == 0 {
				t.Errorf("%s is not found: %+v", how, r)
			} else if f := r.Findings[0]; f.Node != s.nodes[node].Name || f.Action != api.ActionNone {
				t.Errorf("%s: %+v", how, f)
			}
			if r := s.verify(t, api.VerifyRequest{Groups: []uint32{group}, Deep: true, Repair: true}); r.ExitCode() != 0 {
				t.Errorf("%s is not mended: %+v", how, r)
			}
		}
		if r := s.verify(t, api.VerifyRequest{Deep: true}); r.ExitCode() != 0 || r.GroupsEqual != r.GroupsTotal || len(r.Findings) != 0 {
			t.Errorf("again: %+v", r)
		}
		if _, err := s.CompareRoots(); err != nil {
			t.Error(err)
		}
	})
}

// A replica that diverged is found within one interval by a check that nobody
// asked for, and mended; with a node away nothing is equal, and said so.
func TestDivergenceIsFoundWithinTheInterval(t *testing.T) {
	const interval = time.Minute
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := newRotScene(t, func(_ int, c *config.Config) {
			c.Storage.AntiEntropy.Enabled, c.Storage.AntiEntropy.Interval = true, interval
		})
		const group = 2
		node := s.follower(t, group)
		g, _ := s.Group(node, group)
		if _, err := g.Shard().Spoil(t.Context(), storage.SpoilDivergent, func(int) int { return 0 }); err != nil {
			t.Fatal(err)
		}
		took := s.Await("the divergence is mended", 3*interval, func() string {
			time.Sleep(lookPause)
			jobs, _, err := s.nodes[0].Node().Gateway().ListJobs(t.Context(), gateway.JobFilter{Kind: api.JobRepair})
			if err != nil || len(jobs) != 1 || jobs[0].Status != api.StatusDone {
				return fmt.Sprintf("%+v, %v", jobs, err)
			}
			if g, _ := s.Group(node, group); g == nil || g.Status().State.String() != api.ReplicaReady {
				return "the replica is not ready"
			}
			return ""
		})
		if took > interval+10*time.Second {
			t.Errorf("it took %v", took)
		}
		s.Crash(2)
		s.AwaitLeaders(time.Minute)
		if r := s.verify(t, api.VerifyRequest{Repair: true}); r.ExitCode() != 6 || r.GroupsUnchecked != r.GroupsTotal || !strings.Contains(r.Unchecked[0].Reason, "n3") {
			t.Errorf("with n3 away: %+v", r)
		}
	})
}

// Rot that nobody reads is met by the scrub, within its interval.
func TestRotIsFoundByTheScrub(t *testing.T) {
	const interval = 10 * time.Minute
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := newRotScene(t, func(_ int, c *config.Config) {
			c.Storage.AntiEntropy.Enabled, c.Storage.AntiEntropy.Interval, c.Storage.AntiEntropy.ScrubInterval = true, 24*time.Hour, interval
		})
		const group = 6
		node := s.follower(t, group)
		before := time.Now()
		s.rotShard(t, node, group)
		s.Await("the rot is mended", interval+time.Minute, func() string {
			time.Sleep(time.Second)
			jobs, _, err := s.nodes[0].Node().Gateway().ListJobs(t.Context(), gateway.JobFilter{Kind: api.JobRepair})
			if err != nil || len(jobs) != 1 || jobs[0].Status != api.StatusDone {
				return fmt.Sprintf("%+v, %v", jobs, err)
			}
			return ""
		})
		s.Await("every group was read whole on every node", 2*interval, func() string {
			time.Sleep(time.Second)
			groups, err := s.nodes[0].Node().Gateway().Groups(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				if !g.LastScrubAt.After(before) {
					return fmt.Sprintf("group %d: %v", g.GroupID, g.LastScrubAt)
				}
			}
			return ""
		})
		if p := s.nodes[node].Node().Gateway().Own().Proving; p.ScrubBytes == 0 || p.ScrubParts == 0 || p.ScrubBad == 0 {
			t.Errorf("%+v", p)
		}
		if r := s.verify(t, api.VerifyRequest{Deep: true}); r.ExitCode() != 0 || len(r.Findings) != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// With two different replicas and no third one nobody can tell who is right:
// nothing is repaired, both are disputed and go on serving.
func TestTwoThatDifferAreDisputed(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := newRotScene(t, nil)
		s.trimAll(t, 0, 1, 2) // the log cannot tell
		const group = 1
		for i := range 2 {
			g, _ := s.Group(i, group)
			if _, err := g.Shard().Spoil(t.Context(), storage.SpoilDivergent, func(n int) int { return i % n }); err != nil {
				t.Fatal(err)
			}
		}
		r := s.verify(t, api.VerifyRequest{Groups: []uint32{group}, Repair: true})
		if r.ExitCode() != 5 || r.GroupsRepaired != 0 || len(r.Findings) == 0 {
			t.Fatalf("%+v", r)
		}
		for _, f := range r.Findings {
			if f.Verdict != api.FoundDisputed || f.Action != api.ActionNone {
				t.Errorf("%+v", f)
			}
		}
		row, err := s.nodes[0].Node().Gateway().Group(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range row.Replicas {
			if r.State != api.ReplicaDisputed || r.Why == "" {
				t.Errorf("%s is %s: %s", r.Node, r.State, r.Why)
			}
		}
		points := 0
		q := client.Query{Database: database, Collection: collection, Devices: []string{s.devices[group]}}
		if err := s.Client(0).Query(t.Context(), q, func(_ string, c *client.Columns) error { points += c.Len(); return nil }); err != nil || points != 50 {
			t.Errorf("%d points, %v", points, err)
		}
	})
}
