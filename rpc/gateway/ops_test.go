package gateway_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
)

// finished waits for the end of a job, seen through another node.
func finished(t *testing.T, g *gateway.Gateway, id string) api.Job {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for ; ; <-again.C {
		job, err := g.GetJob(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if job.Final() {
			return job
		}
		if time.Now().After(deadline) {
			t.Fatalf("job %+v does not end", job)
		}
	}
}

func verifyResult(t *testing.T, c *fakecluster.Cluster, mode string, groups ...uint32) (api.Job, api.VerifyResult) {
	t.Helper()
	job, err := c.Nodes[0].Gateway.Verify(t.Context(), api.VerifyRequest{Groups: groups, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	job = finished(t, c.Nodes[len(c.Nodes)-1].Gateway, job.ID)
	var r api.VerifyResult
	if job.Status != api.StatusDone {
		t.Fatalf("job %s: %s", job.Status, *job.Error)
	}
	if err := json.Unmarshal(job.Result, &r); err != nil {
		t.Fatal(err)
	}
	return job, r
}

func TestVerifyOfEqualReplicas(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	fill(t, c, 20, 10)
	job, r := verifyResult(t, c, "")
	if r.Mode != api.ModeAdvancedVerify || r.GroupsTotal != 16 || r.GroupsEqual != 16 || r.ExitCode() != 0 {
		t.Fatalf("result %+v", r)
	}
	if job.Kind != api.JobVerify || job.GroupID != nil || job.FinishedAt.IsZero() {
		t.Fatalf("job %+v", job)
	}
	for _, n := range c.Nodes {
		if g, err := n.Gateway.Group(t.Context(), 5); err != nil || g.LastProofAt.IsZero() {
			t.Errorf("%s knows no last proof: %v %v", n.Name, g.LastProofAt, err)
		}
	}
	job, r = verifyResult(t, c, api.ModeVerify, 5)
	if r.GroupsTotal != 1 || r.GroupsEqual != 1 || *job.GroupID != 5 || *job.Mode != api.ModeVerify {
		t.Fatalf("job %+v result %+v", job, r)
	}
}

func TestVerifyFindsTheOddOneAndExits5(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	c.Damage(4, "n2", []storage.Point{point("a", 1, 1)})
	_, r := verifyResult(t, c, "")
	if r.GroupsDamaged != 1 || r.GroupsEqual != 15 || r.ExitCode() != 5 || len(r.Findings) != 1 {
		t.Fatalf("result %+v", r)
	}
	if f := r.Findings[0]; f.GroupID != 4 || f.Node != "n2" || f.Verdict != "wrong" || f.Kind != "data" || f.Action != "none" {
		t.Fatalf("finding %+v", f)
	}
}

func TestVerifyWithANodeAwayIsUncheckedAndExits6(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	c.SetDown("n3", true)
	for group := range uint32(fakecluster.TotalGroups) {
		c.SetLeader(group, "n1")
	}
	job, err := c.Nodes[0].Gateway.Verify(t.Context(), api.VerifyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	job = finished(t, c.Nodes[0].Gateway, job.ID)
	var r api.VerifyResult
	if err := json.Unmarshal(job.Result, &r); err != nil {
		t.Fatal(err)
	}
	if r.GroupsUnchecked != 16 || len(r.Unchecked) != 16 || r.ExitCode() != 6 || !strings.Contains(r.Unchecked[0].Reason, "n3") {
		t.Fatalf("result %+v", r)
	}
}

func TestVerifyRefusals(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Unassigned: true})
	_, err := c.Nodes[0].Gateway.Verify(t.Context(), api.VerifyRequest{Mode: "deep"})
	wantCode(t, err, api.InvalidArgument)
	_, err = c.Nodes[0].Gateway.Verify(t.Context(), api.VerifyRequest{Groups: []uint32{3}})
	wantCode(t, err, api.GroupNotFound)
	_, err = c.Nodes[0].Gateway.Verify(t.Context(), api.VerifyRequest{Groups: []uint32{300}})
	wantCode(t, err, api.GroupNotFound)
}

func TestTrimNamesWhoIsOfflineAndSucceeds(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	c.SetDown("n2", true)
	job, err := c.Nodes[0].Gateway.Trim(t.Context(), []uint32{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	job = finished(t, c.Nodes[0].Gateway, job.ID)
	var r api.TrimResult
	if err := json.Unmarshal(job.Result, &r); err != nil {
		t.Fatal(err)
	}
	if job.Status != api.StatusDone || len(r.Trimmed) != 4 || len(r.Offline) != 2 || r.Offline[0].Node != "n2" {
		t.Fatalf("%s %+v", job.Status, r)
	}
}

func TestStepDownHandsOver(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	job, err := c.Nodes[2].Gateway.StepDown(t.Context(), 3, "n2") // n1 leads group 3
	if err != nil {
		t.Fatal(err)
	}
	if job = finished(t, c.Nodes[1].Gateway, job.ID); job.Status != api.StatusDone || c.Leader(3) != "n2" {
		t.Fatalf("%+v, leader %s", job, c.Leader(3))
	}
	_, err = c.Nodes[0].Gateway.StepDown(t.Context(), 3, "n9")
	wantCode(t, err, api.Conflict)
}

func TestJobsOfAllNodesNewestFirstAndKeptOverRestarts(t *testing.T) {
	dir := t.TempDir()
	c := fakecluster.New(t, fakecluster.Options{JobsDir: dir})
	var ids []string
	for _, n := range c.Nodes {
		job, err := n.Gateway.Trim(t.Context(), []uint32{0})
		if err != nil {
			t.Fatal(err)
		}
		finished(t, c.Nodes[0].Gateway, job.ID)
		ids = append([]string{job.ID}, ids...)
	}
	listed := func(c *fakecluster.Cluster) (out []string) {
		jobs, _, err := c.Nodes[1].Gateway.ListJobs(t.Context(), gateway.JobFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			out = append(out, j.ID)
		}
		return out
	}
	if got := listed(c); !slices.Equal(got, ids) {
		t.Fatalf("jobs %v, want %v", got, ids)
	}
	c.Close()
	if got := listed(fakecluster.New(t, fakecluster.Options{JobsDir: dir})); !slices.Equal(got, ids) {
		t.Fatalf("after a restart %v, want %v", got, ids)
	}
	_, err := c.Nodes[0].Gateway.GetJob(t.Context(), "")
	wantCode(t, err, api.JobNotFound)
	_, err = c.Nodes[0].Gateway.GetJob(t.Context(), "verify-n1-nope")
	wantCode(t, err, api.JobNotFound)
	_, err = c.Nodes[0].Gateway.Trim(t.Context(), nil)
	wantCode(t, err, api.NotReady)
}

// The jobs of a node that is down are known to nobody else: the list says whose are missing.
func TestNodesThatGaveNoJobsAreNamed(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	job, err := c.Nodes[1].Gateway.Trim(t.Context(), []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	finished(t, c.Nodes[0].Gateway, job.ID)
	if jobs, silent, err := c.Nodes[0].Gateway.ListJobs(t.Context(), gateway.JobFilter{}); err != nil || len(jobs) != 1 || len(silent) != 0 {
		t.Errorf("all up: %v %v %v", jobs, silent, err)
	}
	c.SetDown("n2", true)
	if jobs, silent, err := c.Nodes[0].Gateway.ListJobs(t.Context(), gateway.JobFilter{}); err != nil || len(jobs) != 0 || !slices.Equal(silent, []string{"n2"}) {
		t.Errorf("n2 down: %v %v %v", jobs, silent, err)
	}
	_, err = c.Nodes[0].Gateway.GetJob(t.Context(), job.ID)
	wantCode(t, err, api.JobNotFound)
	if !strings.Contains(err.Error(), "n2 did not answer") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledJobEnds(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	for group := range uint32(fakecluster.TotalGroups) {
		c.SetLeader(group, "") // the job looks for leaders
	}
	job, err := c.Nodes[0].Gateway.Verify(t.Context(), api.VerifyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Nodes[2].Gateway.CancelJob(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	if job = finished(t, c.Nodes[1].Gateway, job.ID); job.Status != api.StatusCancelled ||
		job.Error == nil || *job.Error != "cancelled on request" {
		t.Fatalf("job %+v", job)
	}
}

func TestTablesNameWhoIsMissing(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	fill(t, c, 20, 1)
	groups, err := c.Nodes[1].Gateway.Groups(t.Context())
	if err != nil || len(groups) != 16 {
		t.Fatalf("%d groups, %v", len(groups), err)
	}
	for i := range groups {
		if g := &groups[i]; !g.Healthy() || g.Why != "" || *g.Leader != g.PrimaryNode || len(g.Replicas) != 3 || slices.Contains(g.ReplicaNodes, g.PrimaryNode) {
			t.Errorf("group %+v", g)
		}
	}
	nodes, err := c.Nodes[0].Gateway.Nodes(t.Context())
	if err != nil || len(nodes) != 3 || nodes[0].Groups != 16 || nodes[0].Leaders != 6 || nodes[0].Primaries != 6 || nodes[1].Leaders != 5 {
		t.Fatalf("nodes %+v, %v", nodes, err)
	}
	c.SetDown("n1", true)
	row, err := c.Nodes[1].Gateway.Group(t.Context(), 3) // led by n1
	if err != nil {
		t.Fatal(err)
	}
	if row.Leader != nil || row.Healthy() || row.Replicas[0].State != api.ReplicaOffline || !strings.Contains(row.Replicas[0].Why, "n1") {
		t.Fatalf("group %+v", row)
	}
	if row.Replicas[0].Lag != nil || row.Replicas[1].Lag == nil || row.Why != "2 of 3 replicas answer, and none of them leads yet" {
		t.Errorf("lag of one that is offline %v; why: %s", row.Replicas[0].Lag, row.Why)
	}
	c.SetDown("n3", true)
	if row, err = c.Nodes[1].Gateway.Group(t.Context(), 3); err != nil || row.Why != "1 of 3 replicas answer: no quorum" {
		t.Errorf("%v, why: %s", err, row.Why)
	}
	c.SetDown("n3", false)
	cl, err := c.Nodes[1].Gateway.Cluster(t.Context())
	if err != nil || cl.NodesUp != 2 || cl.Verdict != "0/16 groups healthy, 0 not in use" {
		t.Fatalf("cluster %+v, %v", cl, err)
	}
}

func TestDeviceGroupExplainsTheVectors(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1, Unassigned: true})
	row, err := c.Nodes[0].Gateway.DeviceGroup("mydb", "sensors", "sensor-001")
	if err != nil {
		t.Fatal(err)
	}
	if row.Hash%256 != 34 || row.GroupID != row.Hash%16 || row.Exists || row.HashInput != "mydb:sensors:sensor-001" || row.PrimaryNode != nil || row.Nodes == nil {
		t.Fatalf("%+v", row)
	}
	_, err = c.Nodes[0].Gateway.DeviceGroup("mydb", "sensors", "")
	wantCode(t, err, api.InvalidArgument)
}

func TestDatabases(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	g := c.Nodes[0].Gateway
	db, made, err := g.CreateDatabase(t.Context(), "x", "90d")
	if err != nil || !made || db.Retention != "90d" {
		t.Fatalf("%+v %v %v", db, made, err)
	}
	if _, made, err = c.Nodes[1].Gateway.CreateDatabase(t.Context(), "x", "2160h"); err != nil || made {
		t.Fatalf("alike: %v %v", made, err)
	}
	_, _, err = g.CreateDatabase(t.Context(), "x", "")
	wantCode(t, err, api.AlreadyExists)
	if db, err = g.SetDatabase(t.Context(), "x", "36h"); err != nil || db.Retention != "36h" {
		t.Fatalf("%+v %v", db, err)
	}
	for _, bad := range []string{"-1h", "9x", "0d", "1", "-5d"} {
		_, _, err = g.CreateDatabase(t.Context(), "y", bad)
		wantCode(t, err, api.InvalidArgument)
	}
	p := point("a", 1, 1)
	p.Database = "x"
	if _, err := g.Write(t.Context(), []storage.Point{p}, 0); err != nil {
		t.Fatal(err)
	}
	if list, err := g.ListCollections(t.Context(), "x"); err != nil || len(list) != 1 || list[0].Name != "c" {
		t.Fatalf("%+v %v", list, err)
	}
	if err := g.DropDatabase(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, g.DropDatabase(t.Context(), "x"), api.DatabaseNotFound)
	if _, _, err := g.CreateDatabase(t.Context(), "x", ""); err != nil {
		t.Fatal(err)
	}
	if list, err := g.ListCollections(t.Context(), "x"); err != nil || len(list) != 0 {
		t.Fatalf("a dropped database left %+v %v", list, err)
	}
}

func TestRetentionsAreWrittenAsPeopleDo(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "", 90 * 24 * time.Hour: "90d", 36 * time.Hour: "36h", 90 * time.Minute: "1h30m", 61 * time.Second: "1m1s"} {
		got := gateway.FormatRetention(d)
		if back, err := gateway.ParseRetention(got); got != want || err != nil || back != d {
			t.Errorf("%v: %q, read back as %v %v", d, got, back, err)
		}
	}
}

func TestCreatedDatabaseIsAnsweredAsItIsStored(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	made, _, err := c.Nodes[0].Gateway.CreateDatabase(t.Context(), "x", "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Nodes[1].Gateway.GetDatabase(t.Context(), "x"); err != nil || got != made {
		t.Errorf("created %+v, stored %+v %v", made, got, err)
	}
}

func TestCollectionsExistByNameOrByPoints(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	g, other := c.Nodes[0].Gateway, c.Nodes[1].Gateway
	if _, err := g.GetCollection(t.Context(), "d", "named"); api.CodeOf(err) != api.CollectionNotFound {
		t.Errorf("before: %v", err)
	}
	if _, made, err := g.CreateCollection(t.Context(), "d", "named"); err != nil || !made {
		t.Fatalf("%v %v", made, err)
	}
	if _, made, err := other.CreateCollection(t.Context(), "d", "named"); err != nil || made {
		t.Errorf("again: %v %v", made, err)
	}
	if _, err := g.Write(t.Context(), []storage.Point{point("a", 1, 1)}, 0); err != nil {
		t.Fatal(err)
	}
	if _, made, err := other.CreateCollection(t.Context(), "d", "c"); err != nil || made {
		t.Errorf("one that exists by its points: %v %v", made, err)
	}
	if list, err := other.ListCollections(t.Context(), "d"); err != nil || len(list) != 2 || list[0].Name != "c" || list[1].Name != "named" {
		t.Errorf("%+v %v", list, err)
	}
	for _, name := range []string{"c", "named"} {
		if _, err := other.DropCollection(t.Context(), "d", name); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
		_, err := g.GetCollection(t.Context(), "d", name)
		wantCode(t, err, api.CollectionNotFound)
		_, err = g.DropCollection(t.Context(), "d", name)
		wantCode(t, err, api.CollectionNotFound)
	}
	_, _, err := g.CreateCollection(t.Context(), "nope", "c")
	wantCode(t, err, api.DatabaseNotFound)
	c.SetMetaDown(true)
	_, _, err = g.CreateCollection(t.Context(), "d", "late")
	wantCode(t, err, api.Unavailable)
}

func TestWithoutAutoCreateCollectionsAreMadeFirst(t *testing.T) {
	create := true
	c := fakecluster.New(t, fakecluster.Options{AutoCreate: &create})
	g := c.Nodes[0].Gateway
	write := func(collection string) error {
		p := point("a", 1, 1)
		p.Collection = collection
		_, err := g.Write(t.Context(), []storage.Point{p}, 0)
		return err
	}
	if err := write("old"); err != nil {
		t.Fatal(err)
	}
	create = false
	wantCode(t, write("new"), api.CollectionNotFound)
	if _, _, err := g.CreateCollection(t.Context(), "d", "new"); err != nil {
		t.Fatal(err)
	}
	for _, collection := range []string{"new", "old", "old"} {
		if err := write(collection); err != nil {
			t.Errorf("%s: %v", collection, err)
		}
	}
}

func TestPagesAreCutAndContinued(t *testing.T) {
	id := func(s string) string { return s }
	list := []string{"a", "b", "c"}
	page, next, err := gateway.Page(list, 2, "", id)
	if err != nil || !slices.Equal(page, []string{"a", "b"}) || next != "b" {
		t.Fatal(page, next, err)
	}
	if page, next, err = gateway.Page(list, 2, next, id); err != nil || !slices.Equal(page, []string{"c"}) || next != "" {
		t.Fatal(page, next, err)
	}
	if page, _, _ = gateway.Page([]string(nil), 0, "", id); page == nil {
		t.Fatal("an empty list is [] and not null")
	}
	_, _, err = gateway.Page(list, 10_001, "", id)
	wantCode(t, err, api.InvalidArgument)
	_, _, err = gateway.Page(list, 1, "z", id)
	wantCode(t, err, api.InvalidArgument)
}
