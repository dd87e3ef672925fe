package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/membership/gossip"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
)

func TestLoneNodeKeepsWhatItAcked(t *testing.T) {
	dir := t.TempDir()
	n := start(t, settingsOf(t, "n1", dir))
	awaitReady(t, n)
	if _, err := patientSDK(t, n).Write(t.Context(), []client.Point{pointOf("x", 5, 1.5)}); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := settingsOf(t, "n1", dir)
	again := start(t, cfg)
	awaitReady(t, again)
	if again.id != n.id {
		t.Fatalf("%v after %v", again.id, n.id)
	}
	groups, err := again.gateway.Groups(t.Context())
	if err != nil || len(groups) != 1 || groups[0].Replicas[0].Points != 1 {
		t.Fatalf("%+v, %v", groups, err)
	}
}

// three are nodes of one cluster, with a point in every group.
func three(t *testing.T) []*Node {
	t.Helper()
	n1 := start(t, settingsOf(t, "n1", t.TempDir()))
	awaitReady(t, n1)
	n2 := start(t, settingsOf(t, "n2", t.TempDir(), n1.addrs.gossip))
	n3 := start(t, settingsOf(t, "n3", t.TempDir(), n1.addrs.gossip))
	nodes := []*Node{n1, n2, n3}
	awaitReady(t, nodes...)
	var points []client.Point
	for _, device := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		points = append(points, pointOf(device, 1, 1))
	}
	// Births on a busy machine may outlast one write: the client repeats it.
	if _, err := patientSDK(t, n2).Write(t.Context(), points); err != nil {
		t.Fatal(err)
	}
	return nodes
}

func TestAllNodesStopTogether(t *testing.T) {
	nodes := three(t)
	await(t, nodes[0], "the meta group has no three voters", func() bool {
		voters, err := nodes[0].dir.Voters()
		return err == nil && len(voters) == 3
	})
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = n.Close() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestNodesStopOneAfterTheOtherTheLastToo(t *testing.T) {
	for _, n := range three(t) {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if missing := n.Missing(); !slices.Contains(missing, "the node is stopping") {
			t.Fatal(missing)
		}
	}
}

func TestNodeThatForgotItsVotesIsTakenInAgain(t *testing.T) {
	nodes := three(t)
	old := nodes[2]
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(old.cfg.DataDir, votesFile)); err != nil {
		t.Fatal(err)
	}
	cfg := settingsOf(t, "n3", old.cfg.DataDir) // no --join: it remembers the others
	again := start(t, cfg)
	awaitReady(t, again)
	if again.id == old.id || again.id.Name != old.id.Name {
		t.Fatalf("%v after %v", again.id, old.id)
	}
	await(t, again, "its replicas are not voters under the new id", func() bool {
		for _, g := range again.Groups().Groups() {
			members, _, err := g.Members()
			if err != nil || len(members) != 3 || slices.ContainsFunc(members, func(m raftgroup.Member) bool { return !m.Voter || m.ID.NodeID == old.id }) {
				return false
			}
		}
		return len(again.Groups().Groups()) > 0
	})
}

func TestSettingsOfACluster(t *testing.T) {
	founder := settingsOf(t, "n1", t.TempDir())
	founder.Storage.Window, founder.Replication.Factor = founder.Storage.Window/2, 2
	n1 := start(t, founder)
	awaitReady(t, n1)
	other := settingsOf(t, "n2", t.TempDir(), n1.addrs.gossip)
	n2 := start(t, other)
	awaitReady(t, n2)
	if n2.window() != founder.Storage.Window || n2.policyConfig().Replication.Factor != 2 {
		t.Fatalf("window %v, factor %d", n2.window(), n2.policyConfig().Replication.Factor)
	}
	settings := processAdapter{n2}
	if _, err := settings.SetSetting(t.Context(), "coordinator.replica_factor", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := patientSDK(t, n2).Write(t.Context(), []client.Point{pointOf("x", 1, 1)}); err != nil {
		t.Fatal(err)
	}
	for _, a := range n2.dir.Table().Assignments {
		if len(a.Replicas) != 0 {
			t.Fatalf("replication.factor 1: %+v", a)
		}
	}
	for _, wrong := range [][2]string{{"replication.factor", "0"}, {"name", "x"}, {"storage.window", "1h"}, {"no.such", "1"}} {
		var problem *api.Error
		if _, err := settings.SetSetting(t.Context(), wrong[0], wrong[1]); !errors.As(err, &problem) || problem.Code != api.InvalidArgument {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}

// What a configuration file may not say, a running cluster is not set to either.
func TestSettingsThatContradictEachOtherAreRefused(t *testing.T) {
	n := start(t, settingsOf(t, "n1", t.TempDir()))
	awaitReady(t, n)
	set := func(key, value string) error {
		_, err := (processAdapter{n}).SetSetting(t.Context(), key, value)
		return err
	}
	refused := func(key, value string) {
		t.Helper()
		before := n.policyConfig().Replication
		var problem *api.Error
		err := set(key, value)
		if !errors.As(err, &problem) || problem.Code != api.InvalidArgument || !strings.Contains(problem.Detail, "no write could ever succeed") {
			t.Errorf("%s %s: %v", key, value, err)
		}
		if got := n.policyConfig().Replication; got != before {
			t.Errorf("%s %s was refused, and is now %+v", key, value, got)
		}
	}
	refused("replication.min_replicas_for_write", "4")
	if err := set("replication.min_replicas_for_write", "3"); err != nil {
		t.Fatal(err)
	}
	refused("replication.factor", "2")
	refused("coordinator.replica_factor", "2")
	if err := set("replication.factor", "4"); err != nil {
		t.Fatal(err)
	}
	if err := set("replication.min_replicas_for_write", "4"); err != nil {
		t.Fatal(err)
	}
}

func TestWritesNeedTheReplicasThatWereAskedFor(t *testing.T) {
	cfg := settingsOf(t, "n1", t.TempDir())
	cfg.WriteTimeout = cfg.WriteTimeout / 10
	n := start(t, cfg)
	awaitReady(t, n)
	set := func(least string) {
		if _, err := (processAdapter{n}).SetSetting(t.Context(), "replication.min_replicas_for_write", least); err != nil {
			t.Fatal(err)
		}
	}
	set("2")
	_, err := sdk(t, n).Write(t.Context(), []client.Point{pointOf("x", 1, 1)})
	var problem *api.Error
	if !errors.As(err, &problem) || problem.Code.Unknown() || !problem.Code.Retryable() {
		t.Fatalf("one replica of two: %v", err)
	}
	set("1")
	if _, err := patientSDK(t, n).Write(t.Context(), []client.Point{pointOf("x", 1, 1)}); err != nil {
		t.Fatal(err)
	}
}

func TestSeedOfAnotherClusterIsRefused(t *testing.T) {
	a := start(t, settingsOf(t, "a", t.TempDir()))
	dir := t.TempDir()
	b := start(t, settingsOf(t, "b", dir))
	awaitReady(t, a, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, settingsOf(t, "b", dir, a.addrs.gossip))
	if err := <-again.Failed(); !errors.Is(err, gossip.ErrForeign) || !isFinal(err) {
		t.Fatal(err)
	}
	select {
	case err := <-a.Failed():
		t.Fatalf("the cluster that was asked fails: %v", err)
	default:
	}
}

func TestDirectoryNamesANodeThatNobodyNames(t *testing.T) {
	dir := t.TempDir()
	cfg := settingsOf(t, "n7", dir)
	n := start(t, cfg)
	awaitReady(t, n)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	cfg = config.Defaults()
	cfg.DataDir, cfg.RPCAddr, cfg.HTTPAddr, cfg.GossipAddr = dir, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if again := start(t, cfg); again.id != n.id {
		t.Fatalf("%v after %v", again.id, n.id)
	}
}

func TestNodeWithoutAQuorumSaysWhatIsMissing(t *testing.T) {
	nodes := three(t)
	for _, n := range nodes {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	alone := start(t, settingsOf(t, "n2", nodes[1].cfg.DataDir))
	await(t, alone, "it does not say that the meta group has no leader", func() bool {
		return slices.ContainsFunc(alone.Missing(), func(line string) bool { return strings.Contains(line, "no leader of the meta group") })
	})
	select {
	case <-alone.Ready():
		t.Fatal("it is ready without a quorum")
	case err := <-alone.Failed():
		t.Fatalf("it ended because its peers are down: %v", err)
	default:
	}
}

func TestNodeThatWasNeverHeardHasNotBeenSeen(t *testing.T) {
	nodes := three(t)
	await(t, nodes[0], "the meta group has no three voters", func() bool {
		voters, err := nodes[0].dir.Voters()
		return err == nil && len(voters) == 3
	})
	for _, n := range nodes[1:] {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again := start(t, settingsOf(t, "n2", nodes[1].cfg.DataDir))
	awaitReady(t, again)
	rows, err := again.gateway.Nodes(t.Context())
	if err != nil || len(rows) != 3 {
		t.Fatalf("%+v, %v", rows, err)
	}
	for _, row := range rows {
		if seen := row.LastSeenMs != nil; seen != (row.Name != "n3") {
			t.Errorf("%s was seen since the start of n2: %v", row.Name, seen)
		}
	}
}

func TestReplacedIncarnationEnds(t *testing.T) {
	nodes := three(t)
	old := nodes[2]
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	heir := start(t, settingsOf(t, "n3", t.TempDir(), nodes[0].addrs.gossip))
	awaitReady(t, heir)
	back := start(t, settingsOf(t, "n3", old.cfg.DataDir, nodes[0].addrs.gossip))
	if err := <-back.Failed(); !isFinal(err) {
		t.Fatalf("while its heir answers: %v", err)
	}
	if err := back.Close(); err != nil {
		t.Fatal(err)
	}
	if err := heir.Close(); err != nil {
		t.Fatal(err)
	}
	back = start(t, settingsOf(t, "n3", old.cfg.DataDir, nodes[0].addrs.gossip))
	if err := <-back.Failed(); !errors.Is(err, directory.ErrReplaced) || !strings.Contains(err.Error(), "hint:") {
		t.Fatalf("while its heir is down: %v", err)
	}
}
