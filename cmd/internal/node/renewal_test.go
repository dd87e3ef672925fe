package node

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// used makes the directory of a member and returns a node that has opened its
// identity, and nothing else.
func used(t *testing.T, peers ...string) *Node {
	t.Helper()
	dir := t.TempDir()
	id := Identity{
		Format: identityFormat, Name: "n1", Incarnation: membership.NewIncarnation(), Cluster: "flotilla",
		ClusterID: "0f8fad5b-d9cb-469f-a165-70867728950e", Joined: true, Founder: true, Peers: peers,
	}
	if err := writeIdentity(dir, id); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{metaDir + "/other", logDir + "/1.wal", groupsDir + "/7/shard.db"} {
		path := filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(file), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	meta, err := raftboltdb.NewBoltStore(filepath.Join(dir, metaDir, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := meta.Close(); err != nil {
		t.Fatal(err)
	}
	votes, err := raftlog.OpenVotes(filepath.Join(dir, votesFile), raftlog.VotesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := votes.Close(); err != nil {
		t.Fatal(err)
	}
	return opened(t, dir)
}

func opened(t *testing.T, dir string) *Node {
	t.Helper()
	id, err := openIdentity(dir, asked{}, asked{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	n := &Node{cfg: config.Config{DataDir: dir}, log: log, stages: &stages{log: log}, id: id.NodeID(), identity: &identityBook{dir: dir, id: id}}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func TestLostVotesMakeANewIncarnation(t *testing.T) {
	for name, lose := range map[string]func(dir string) error{
		"votes removed": func(dir string) error { return os.Remove(filepath.Join(dir, votesFile)) },
		"votes emptied": func(dir string) error { return os.Truncate(filepath.Join(dir, votesFile), 0) },
		"votes damaged": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, votesFile), bytes.Repeat([]byte{0xff}, 1<<15), 0o600)
		},
		"meta group damaged": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, metaDir, "raft.db"), bytes.Repeat([]byte{0xff}, 1<<15), 0o600)
		},
		"meta group lost": func(dir string) error { return os.RemoveAll(filepath.Join(dir, metaDir)) },
	} {
		t.Run(name, func(t *testing.T) {
			n := used(t, "127.0.0.1:7612")
			old, dir := n.id, n.cfg.DataDir
			if err := lose(dir); err != nil {
				t.Fatal(err)
			}
			if err := n.openVotes(); err != nil {
				t.Fatal(err)
			}
			id, err := openIdentity(dir, asked{}, asked{})
			if err != nil || id.NodeID() != n.id || n.id == old || n.id.Name != old.Name {
				t.Fatalf("%v after %v: %v %v", n.id, old, id, err)
			}
			if id.Joined || id.Founder || id.ClusterID == "" || len(id.Peers) != 1 {
				t.Fatalf("%+v: it would found a cluster, or find none", id)
			}
			for _, what := range []string{groupsDir, logDir, metaDir} {
				if _, err := os.Stat(filepath.Join(dir, what)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is still there under the new id: %v", what, err)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, asideDir, old.String(), groupsDir, "7", "shard.db")); err != nil {
				t.Errorf("what the old incarnation held is not kept: %v", err)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			again := opened(t, dir)
			if err := again.openVotes(); err != nil || again.id != n.id {
				t.Fatalf("the next start: %v, %v after %v", err, again.id, n.id)
			}
		})
	}
}

func TestIntactVotesKeepTheIncarnation(t *testing.T) {
	n := used(t, "127.0.0.1:7612")
	old := n.id
	if err := n.openVotes(); err != nil || n.id != old {
		t.Fatalf("%v, %v", n.id, err)
	}
}

func TestRenewalCutShortIsTakenUp(t *testing.T) {
	n := used(t, "127.0.0.1:7612")
	old, dir := n.id, n.cfg.DataDir
	// The crash: a new identity is written, and nothing was moved yet.
	if err := errors.Join(os.Remove(filepath.Join(dir, votesFile)), n.identity.update(func(id *Identity) {
		id.Incarnation, id.Joined, id.Founder = membership.NewIncarnation(), false, false
	})); err != nil {
		t.Fatal(err)
	}
	again := opened(t, dir)
	if err := again.openVotes(); err != nil || again.id == old {
		t.Fatalf("%v, %v", again.id, err)
	}
	if _, err := os.Stat(filepath.Join(dir, metaDir)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the old meta group is used under the new id: %v", err)
	}
}

func TestOnlyNodeThatForgotItsVotesStartsNothing(t *testing.T) {
	for _, file := range []string{votesFile, metaDir + "/raft.db"} {
		n := used(t)
		if err := os.Remove(filepath.Join(n.cfg.DataDir, file)); err != nil {
			t.Fatal(err)
		}
		before := listing(t, n.cfg.DataDir)
		if err := n.openVotes(); !errors.Is(err, errForgot) {
			t.Fatal(file, err)
		}
		if after := listing(t, n.cfg.DataDir); after != before {
			t.Fatalf("%s: %s, before %s", file, after, before)
		}
	}
}
