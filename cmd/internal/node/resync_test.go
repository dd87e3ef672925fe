package node

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// fill writes points of many devices, so that every group has some.
func fill(t *testing.T, n *Node, from, to int64) {
	t.Helper()
	var points []client.Point
	for at := from; at < to; at++ {
		for device := range 40 {
			points = append(points, pointOf(fmt.Sprint("dev-", device), at*1e9, float64(at)))
		}
	}
	if _, err := patientSDK(t, n).Write(t.Context(), points); err != nil {
		t.Fatal(err)
	}
}

// jobsOn are the resyncs of one node.
func jobsOn(t *testing.T, n *Node) []api.Job {
	t.Helper()
	return slices.DeleteFunc(n.gateway.Jobs().All(), func(j api.Job) bool { return j.Kind != api.JobResync && j.Kind != api.JobMove })
}

// awaitEqual waits until every group is whole and its replicas are equal at one
// cut.
func awaitEqual(t *testing.T, n *Node) {
	t.Helper()
	var last []api.Group
	defer func() {
		if t.Failed() {
			for _, g := range last {
				t.Logf("%+v", g)
			}
		}
	}()
	await(t, n, "not every group is healthy", func() bool {
		groups, err := n.gateway.Groups(t.Context())
		last = groups
		return err == nil && len(groups) > 0 && !slices.ContainsFunc(groups, func(g api.Group) bool { return !g.Healthy() })
	})
	last = nil
	job, err := n.gateway.Verify(t.Context(), api.VerifyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	await(t, n, "the check does not end", func() bool {
		job, err = n.gateway.GetJob(t.Context(), job.ID)
		return err == nil && job.Final()
	})
	if job.Status != api.StatusDone || !jsonHas(job.Result, `"groups_damaged":0`) || !jsonHas(job.Result, `"groups_unchecked":0`) {
		t.Fatalf("the check: %+v %s", job, job.Result)
	}
}

func jsonHas(b []byte, part string) bool { return bytes.Contains(b, []byte(part)) }

// awaitJobs waits until a node has so many resyncs and all have ended.
func awaitJobs(t *testing.T, n *Node, count int) []api.Job {
	t.Helper()
	await(t, n, fmt.Sprintf("there are no %d resyncs that have ended", count), func() bool {
		jobs := jobsOn(t, n)
		return len(jobs) >= count && !slices.ContainsFunc(jobs, func(j api.Job) bool { return !j.Final() })
	})
	jobs := jobsOn(t, n)
	if len(jobs) != count {
		t.Errorf("%d resyncs, not %d", len(jobs), count)
	}
	return jobs
}

func showJobs(t *testing.T, n *Node) {
	t.Helper()
	for _, j := range jobsOn(t, n) {
		t.Logf("%s group %d %s %s %s %q %q", j.ID, *j.GroupID, j.Status, deref(j.Stage), deref(j.Verdict), deref(j.Reason)+" by "+deref(j.BlockedBy), deref(j.Error))
	}
}

func TestWipedNodeIsCopiedFromTheOthers(t *testing.T) {
	nodes := three(t)
	fill(t, nodes[0], 0, 50)
	awaitEqual(t, nodes[0])
	old := nodes[2]
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	dir := old.cfg.DataDir
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	again := start(t, settingsOf(t, "n3", dir, nodes[0].addrs.gossip))
	defer func() {
		if t.Failed() {
			showJobs(t, again)
		}
	}()
	awaitReady(t, again)
	awaitEqual(t, again)
	for _, j := range awaitJobs(t, again, len(again.dir.Table().Assignments)) {
		if deref(j.Verdict) != "full" || j.Status != api.StatusDone {
			t.Errorf("job %+v", j)
		}
	}
	for _, g := range again.Groups().Groups() {
		if _, err := os.Stat(filepath.Join(again.groupDir(g.ID()), "staging")); !os.IsNotExist(err) {
			t.Errorf("staging of group %d is left: %v", g.ID(), err)
		}
	}
}

func TestStoppedNodeReplaysWhatItMissed(t *testing.T) {
	nodes := three(t)
	fill(t, nodes[0], 0, 5)
	awaitEqual(t, nodes[0])
	old := nodes[2]
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, nodes[0], 5, 10)
	again := start(t, settingsOf(t, "n3", old.cfg.DataDir, nodes[0].addrs.gossip))
	defer func() {
		if t.Failed() {
			showJobs(t, again)
		}
	}()
	awaitReady(t, again)
	for _, j := range awaitJobs(t, again, len(again.dir.Table().Assignments)) {
		if deref(j.Verdict) != "replay" || j.Status != api.StatusDone || j.BytesDone != 0 {
			t.Errorf("job %+v", j)
		}
	}
	awaitEqual(t, again)
}

func TestNodeWhoseLogWasTrimmedMeanwhileCopiesWhatDiffers(t *testing.T) {
	nodes := three(t)
	fill(t, nodes[0], 0, 200)
	awaitEqual(t, nodes[0])
	old := nodes[2]
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, nodes[0], 90000, 90005)
	trim, err := nodes[0].gateway.Trim(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	await(t, nodes[0], "the trim does not end", func() bool {
		trim, err = nodes[0].gateway.GetJob(t.Context(), trim.ID)
		return err == nil && trim.Final()
	})
	if trim.Status != api.StatusDone {
		t.Fatalf("%+v", trim)
	}
	again := start(t, settingsOf(t, "n3", old.cfg.DataDir, nodes[0].addrs.gossip))
	defer func() {
		if t.Failed() {
			showJobs(t, again)
		}
	}()
	awaitReady(t, again)
	awaitEqual(t, again)
	copied := 0
	for _, j := range awaitJobs(t, again, len(again.dir.Table().Assignments)) {
		switch deref(j.Verdict) {
		case "delta":
			copied++
		case "replay": // of entries that were on their way while the log was trimmed
		default:
			t.Errorf("job %+v", j)
		}
		if j.Status != api.StatusDone {
			t.Errorf("job %+v", j)
		}
	}
	if copied == 0 {
		t.Error("nothing was copied")
	}
}

func TestMoveGivesAReplicaToAnotherNode(t *testing.T) {
	nodes := three(t)
	fill(t, nodes[0], 0, 20)
	awaitEqual(t, nodes[0])
	n4 := start(t, settingsOf(t, "n4", t.TempDir(), nodes[0].addrs.gossip))
	awaitReady(t, n4)
	defer func() {
		if t.Failed() {
			showJobs(t, n4)
		}
	}()
	group := nodes[0].Groups().Groups()[0].ID()
	plan, err := nodes[1].gateway.PlanMove(t.Context(), gateway.MoveRequest{Group: group, A: "n3", B: "n4"})
	if err != nil || len(plan.Groups) != 1 || plan.Groups[0].Leader == nil {
		t.Fatalf("%+v, %v", plan, err)
	}
	parts := map[string]string{}
	for _, r := range plan.Groups[0].Replicas {
		parts[r.Node] = r.Action
	}
	if want := map[string]string{"n1": api.PlanGive, "n2": api.PlanGive, "n3": api.PlanGo, "n4": api.PlanCopy}; !maps.Equal(parts, want) {
		t.Errorf("plan %v, want %v: %+v", parts, want, plan.Groups[0].Resync)
	}
	job, err := nodes[1].gateway.Move(t.Context(), gateway.MoveRequest{Group: group, A: "n3", B: "n4"})
	if err != nil {
		t.Fatal(err)
	}
	await(t, n4, "the move does not end", func() bool {
		job, err = nodes[0].gateway.GetJob(t.Context(), job.ID)
		return err == nil && job.Final()
	})
	if job.Status != api.StatusDone || job.Kind != api.JobMove || deref(job.Verdict) != "full" {
		t.Fatalf("%+v: %s", job, deref(job.Error))
	}
	awaitEqual(t, nodes[0])
	if a := nodes[0].dir.Table().Assignments[group]; !a.Holds("n4") || a.Holds("n3") {
		t.Errorf("%+v", a)
	}
	await(t, nodes[2], "the old replica is still there", func() bool {
		_, open := nodes[2].Groups().Group(group)
		_, err := os.Stat(filepath.Join(nodes[2].groupDir(group), "shard.db"))
		return !open && os.IsNotExist(err)
	})
}

// The only replica of a group goes to another node and back: whoever leads alone
// hands over first, and comes back as another server. The log is one file a
// group.
func TestOnlyReplicaMovesAndComesBack(t *testing.T) {
	settings := func(name string, join ...string) config.Config {
		cfg := settingsOf(t, name, t.TempDir(), join...)
		cfg.LogEngine, cfg.Replication.Factor = config.LogEngineBoltDB, 1
		return cfg
	}
	n1 := start(t, settings("n1"))
	awaitReady(t, n1)
	fill(t, n1, 0, 20)
	n2 := start(t, settings("n2", n1.addrs.gossip))
	awaitReady(t, n2)
	group := n1.Groups().Groups()[0].ID()
	defer func() {
		if t.Failed() {
			showJobs(t, n1)
			showJobs(t, n2)
			row, err := n1.gateway.Group(t.Context(), group)
			t.Logf("%+v %v", row, err)
		}
	}()
	for _, way := range [][2]*Node{{n1, n2}, {n2, n1}} {
		from, to := way[0], way[1]
		job, err := to.gateway.Move(t.Context(), gateway.MoveRequest{Group: group, A: from.id.Name, B: to.id.Name})
		if err != nil {
			t.Fatal(err)
		}
		await(t, to, "the move does not end", func() bool {
			job, err = from.gateway.GetJob(t.Context(), job.ID)
			return err == nil && job.Final()
		})
		if job.Status != api.StatusDone {
			t.Fatalf("%s: %s", job.ID, deref(job.Error))
		}
		await(t, from, "the old replica is still there", func() bool {
			_, open := from.Groups().Group(group)
			_, err := os.Stat(filepath.Join(from.groupDir(group), "shard.db"))
			return !open && os.IsNotExist(err)
		})
	}
	if g, _ := n1.Groups().Group(group); g.Self().Generation == 0 {
		t.Errorf("it came back as %v", g.Self())
	}
	awaitEqual(t, n2)
	for device := range 40 {
		p, ok, err := patientSDK(t, n2).Last(t.Context(), pointOf(fmt.Sprint("dev-", device), 0, 0).Series, client.Linearizable)
		if err != nil || !ok || p.Time != 19e9 {
			t.Errorf("device %d: %v %v %v", device, p, ok, err)
		}
	}
}

// A setting takes effect: no attempt but the first, and a target that was told
// not to resync by itself says so.
func TestSettingsOfResyncTakeEffect(t *testing.T) {
	n := start(t, settingsOf(t, "n1", t.TempDir()))
	awaitReady(t, n)
	for key, value := range map[string]string{
		"storage.sync.enabled": "false", "storage.sync.max_attempts": "1", "storage.sync.max_concurrent_syncs": "2", "storage.sync.rate": "1MiB",
		"storage.sync.sync_batch_size": "10", "storage.sync.startup_sync": "false", "storage.sync.startup_timeout": "7s",
	} {
		if _, err := (processAdapter{n}).SetSetting(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	want := config.Sync{StartupTimeout: 7 * time.Second, BatchSize: 10, MaxConcurrent: 2, Rate: 1 << 20, MaxAttempts: 1}
	if got := n.policyConfig().Storage.Sync; got != want {
		t.Errorf("%+v", got)
	}
	if why := n.syncs.Why(5, true); !strings.Contains(why, "storage.sync.enabled is false") { // they are those of its resyncs
		t.Error(why)
	}
}

// A node whose replicas are asked to be copied anew leads some of their groups:
// it hands those over first.
// rootIndexes are where the replicas of groups last told their roots.
func rootIndexes(nodes []*Node, groups []uint32) map[uint32]uint64 {
	last := make(map[uint32]uint64)
	for _, id := range groups {
		for _, n := range nodes {
			if g, ok := n.Groups().Group(id); ok {
				last[id] = max(last[id], g.Status().RootIndex)
			}
		}
	}
	return last
}

// awaitWitnessed waits until all replicas of groups have told equal roots of one later index, without a check.
func awaitWitnessed(t *testing.T, nodes []*Node, before map[uint32]uint64) {
	t.Helper()
	for id, was := range before {
		await(t, nodes[0], fmt.Sprintf("the roots of group %d, later than at %d", id, was), func() bool {
			at := map[string]bool{}
			for _, n := range nodes {
				g, ok := n.Groups().Group(id)
				if !ok {
					return false
				}
				s := g.Status()
				at[fmt.Sprint(s.Root, s.RootIndex)] = s.RootIndex > was
			}
			for _, later := range at {
				if !later {
					return false
				}
			}
			return len(at) == 1
		})
	}
}

func TestLeaderThatIsToBeCopiedAnewHandsOverFirst(t *testing.T) {
	nodes := three(t)
	fill(t, nodes[0], 0, 50)
	awaitEqual(t, nodes[0])
	var led []uint32
	n := nodes[0]
	for _, g := range n.Groups().Groups() {
		if g.IsLeader() {
			led = append(led, g.ID())
		}
	}
	if len(led) == 0 {
		t.Fatal("it leads nothing")
	}
	request := gateway.ResyncRequest{Target: n.id.Name, Groups: led, ResyncOptions: gateway.ResyncOptions{Mode: api.ModeFullSync}}
	plan, err := n.gateway.PlanResync(t.Context(), request)
	if err != nil || len(plan.Groups) != len(led) {
		t.Fatalf("%+v, %v", plan, err)
	}
	for _, p := range plan.Groups { // as the run will be, and nothing is handed over for it
		if g, _ := n.Groups().Group(p.GroupID); p.Why != "" || deref(p.Resync.Verdict) != "full" || p.Resync.Bytes == 0 || len(p.Resync.Sources) != 2 || !g.IsLeader() {
			t.Errorf("dry run: %+v, %s", p.Resync, p.Why)
		}
	}
	before := rootIndexes(nodes, led)
	jobs, err := n.gateway.Resync(t.Context(), request)
	if err != nil || len(jobs) != len(led) {
		t.Fatalf("%d jobs for %d groups: %v", len(jobs), len(led), err)
	}
	defer func() {
		if t.Failed() {
			showJobs(t, n)
		}
	}()
	for _, j := range awaitJobs(t, n, len(led)) {
		if deref(j.Verdict) != "full" || j.Status != api.StatusDone {
			t.Errorf("job %+v", j)
		}
	}
	awaitWitnessed(t, nodes, before)
	awaitEqual(t, n)
}
