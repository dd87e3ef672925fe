package directory

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

func openVotes(t *testing.T, path string) (*votes, *raftboltdb.BoltStore) {
	t.Helper()
	bolt, err := raftboltdb.NewBoltStore(path)
	must(t, err)
	t.Cleanup(func() { _ = bolt.Close() })
	return &votes{inner: bolt, fatal: func(err error) { t.Error(err) }}, bolt
}

func TestCrashBetweenTermAndCandidateLeavesTheOldVote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	v, bolt := openVotes(t, path)
	if _, err := v.GetUint64([]byte(keyLastVoteTerm)); err == nil || err.Error() != "not found" {
		t.Fatalf("without a vote: %v: raft knows this text only", err)
	}
	must(t, v.SetUint64([]byte(keyLastVoteTerm), 4))
	must(t, v.Set([]byte(keyLastVoteCand), []byte("n1")))
	must(t, v.SetUint64([]byte(keyLastVoteTerm), 5)) // and here the process dies
	must(t, bolt.Close())

	v, bolt = openVotes(t, path)
	term, err := v.GetUint64([]byte(keyLastVoteTerm))
	must(t, err)
	candidate, err := v.Get([]byte(keyLastVoteCand))
	must(t, err)
	if term != 4 || string(candidate) != "n1" {
		t.Fatalf("vote of term %d for %s: nobody was voted for in term 5", term, candidate)
	}
	record, err := bolt.Get(keyVote)
	must(t, err)
	record[3] ^= 1
	must(t, bolt.Set(keyVote, record))
	if _, err := v.GetUint64([]byte(keyLastVoteTerm)); !errors.Is(err, ErrStateLost) {
		t.Fatalf("a damaged record: %v", err)
	}
}

var _ raft.StableStore = (*votes)(nil)
