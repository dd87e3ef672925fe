package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

func openVotes(t *testing.T, path string, o VotesOptions) *Votes {
	t.Helper()
	v, err := OpenVotes(path, o)
	must(t, err)
	t.Cleanup(func() { v.Close() })
	return v
}

func votesPath(t *testing.T) string { return filepath.Join(t.TempDir(), "votes.db") }

// copyFile takes the file as a crash at this moment would leave it.
func copyFile(t *testing.T, from string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	to := votesPath(t)
	must(t, os.WriteFile(to, b, 0o600))
	return to
}

// vote does what raft's persistVote does, in its order.
func castVote(t *testing.T, s raft.StableStore, term uint64, candidate string) {
	t.Helper()
	must(t, s.SetUint64([]byte(keyCurrentTerm), term))
	must(t, s.SetUint64([]byte(keyLastVoteTerm), term))
	must(t, s.Set([]byte(keyLastVoteCand), []byte(candidate)))
}

func TestVoteSurvivesAsOneRecord(t *testing.T) {
	path := votesPath(t)
	v := openVotes(t, path, VotesOptions{})
	for group := range uint32(3) {
		castVote(t, v.Store(group, "lineage-1", group), uint64(10+group), fmt.Sprintf("n%d.0a1b2c3d.0", group))
	}
	must(t, v.Remove(1))
	for range 2 {
		if got := v.Groups(); !slices.Equal(got, []uint32{0, 2}) {
			t.Fatalf("groups are %v", got)
		}
		r, ok, err := v.Record(2)
		want := VoteRecord{Group: 2, Lineage: "lineage-1", Generation: 2, CurrentTerm: 12, LastVoteTerm: 12, LastVoteCand: []byte("n2.0a1b2c3d.0")}
		if err != nil || !ok || !reflect.DeepEqual(r, want) {
			t.Fatalf("record is %+v, %v, %v", r, ok, err)
		}
		must(t, v.Close())
		v = openVotes(t, path, VotesOptions{})
	}
}

// TestCrashBetweenTheHalvesOfAVote: raft writes the term of a vote and then its candidate (upstream issue
// 661). With the new term and the old candidate on disk, that candidate would get a vote without a look at
// its log.
func TestCrashBetweenTheHalvesOfAVote(t *testing.T) {
	path := votesPath(t)
	v := openVotes(t, path, VotesOptions{})
	s := v.Store(1, "l", 0)
	castVote(t, s, 4, "old-candidate")
	must(t, s.SetUint64([]byte(keyCurrentTerm), 5))
	must(t, s.SetUint64([]byte(keyLastVoteTerm), 5))
	must(t, v.Store(2, "l", 0).SetUint64([]byte(keyCurrentTerm), 1)) // another transaction takes nothing along
	crashed := copyFile(t, path)
	must(t, s.Set([]byte(keyLastVoteCand), []byte("new-candidate")))
	after := copyFile(t, path)

	check := func(path string, term uint64, candidate string) {
		t.Helper()
		s := openVotes(t, path, VotesOptions{}).Store(1, "l", 0)
		current, err := s.GetUint64([]byte(keyCurrentTerm))
		must(t, err)
		gotTerm, err := s.GetUint64([]byte(keyLastVoteTerm))
		must(t, err)
		got, err := s.Get([]byte(keyLastVoteCand))
		must(t, err)
		if current != 5 || gotTerm != term || string(got) != candidate {
			t.Errorf("term %d, voted in %d for %s; want a vote in %d for %s", current, gotTerm, got, term, candidate)
		}
	}
	check(crashed, 4, "old-candidate")
	check(after, 5, "new-candidate")
	// Nor may the running process see half a vote.
	must(t, s.SetUint64([]byte(keyLastVoteTerm), 6))
	if half, _ := s.GetUint64([]byte(keyLastVoteTerm)); half != 5 {
		t.Errorf("half a vote can be read: term %d", half)
	}
}

func TestNotFoundHasRaftsText(t *testing.T) {
	v := openVotes(t, votesPath(t), VotesOptions{})
	s := v.Store(9, "l", 0)
	for _, key := range []string{keyCurrentTerm, keyLastVoteTerm, keyLastVoteCand} {
		if _, err := s.GetUint64([]byte(key)); err == nil || err.Error() != "not found" {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := s.Get([]byte(key)); err == nil || err.Error() != "not found" {
			t.Errorf("%s: %v", key, err)
		}
	}
	if has, err := raft.HasExistingState(raft.NewInmemStore(), s, raft.NewInmemSnapshotStore()); has || err != nil {
		t.Errorf("raft sees state in nothing: %v, %v", has, err)
	}
	must(t, s.SetUint64([]byte(keyCurrentTerm), 1))
	if _, err := s.Get([]byte(keyLastVoteCand)); err == nil || err.Error() != "not found" {
		t.Errorf("candidate of a vote never cast: %v", err)
	}
	if s.Set([]byte("other"), nil) == nil || s.SetUint64([]byte("other"), 1) == nil {
		t.Error("an unknown key was taken")
	}
}

func TestTermNeverGoesBack(t *testing.T) {
	v := openVotes(t, votesPath(t), VotesOptions{})
	castVote(t, v.Store(1, "old", 0), 7, "a")
	s := v.Store(1, "new", 3) // a new generation
	must(t, s.SetUint64([]byte(keyCurrentTerm), 1))
	r, _, err := v.Record(1)
	must(t, err)
	if r.CurrentTerm != 7 || r.Generation != 3 || r.Lineage != "new" || r.LastVoteTerm != 7 {
		t.Fatalf("record is %+v", r)
	}
	must(t, v.Put(VoteRecord{Group: 1, CurrentTerm: 2})) // only a whole record may
	if r, _, _ := v.Record(1); r.CurrentTerm != 2 {
		t.Fatalf("record is %+v", r)
	}
}

func TestUnreadableVoteIsTold(t *testing.T) {
	path := votesPath(t)
	v := openVotes(t, path, VotesOptions{})
	castVote(t, v.Store(1, "l", 0), 3, "a")
	castVote(t, v.Store(2, "l", 0), 3, "a")
	must(t, v.Close())
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		b := slices.Clone(tx.Bucket(bucketConf).Get(voteKey(1)))
		b[9] ^= 1
		return tx.Bucket(bucketConf).Put(voteKey(1), b)
	}))
	must(t, db.Close())
	v = openVotes(t, path, VotesOptions{})
	_, ok, err := v.Record(1)
	if mustBe(t, err, ErrVoteUnreadable); ok {
		t.Fatal("a bad record was returned")
	}
	s := v.Store(1, "l", 0)
	_, err = s.GetUint64([]byte(keyCurrentTerm))
	mustBe(t, err, ErrVoteUnreadable)
	mustBe(t, s.SetUint64([]byte(keyCurrentTerm), 9), ErrVoteUnreadable)
	if _, ok, err := v.Record(2); !ok || err != nil {
		t.Fatalf("the other record: %v, %v", ok, err)
	}
	if got := v.Groups(); !slices.Equal(got, []uint32{1, 2}) {
		t.Fatalf("groups are %v", got)
	}
	bad := 0
	must(t, v.Close())
	must(t, DumpVotes(path, func(r VoteRecord, err error) error {
		if (err != nil) != (r.Group == 1) {
			t.Errorf("dump of group %d: %v", r.Group, err)
		}
		bad++
		return nil
	}))
	if bad != 2 {
		t.Fatalf("%d records dumped", bad)
	}
	v = openVotes(t, path, VotesOptions{})
	must(t, v.Put(VoteRecord{Group: 1, Lineage: "l", Generation: 1, CurrentTerm: 8}))
	if r, ok, err := v.Record(1); !ok || err != nil || r.CurrentTerm != 8 {
		t.Fatalf("record is %+v, %v, %v", r, ok, err)
	}
}

func TestVoteFileThatIsNoneIsTold(t *testing.T) {
	path := votesPath(t)
	_, err := OpenVotes(path, VotesOptions{MustExist: true})
	mustBe(t, err, ErrVotesMissing)
	must(t, os.WriteFile(path, nil, 0o600))
	_, err = OpenVotes(path, VotesOptions{MustExist: true})
	mustBe(t, err, ErrVotesMissing)
	for _, garbage := range [][]byte{make([]byte, 1<<15), []byte("not a database"), slices.Repeat([]byte{0xab}, 1<<15)} {
		must(t, os.WriteFile(path, garbage, 0o600))
		_, err = OpenVotes(path, VotesOptions{MustExist: true})
		mustBe(t, err, ErrDamaged)
	}
}

func TestDamagedVoteFileNeverKillsTheProcess(t *testing.T) {
	path := votesPath(t)
	v := openVotes(t, path, VotesOptions{})
	for group := range uint32(100) {
		must(t, v.Put(VoteRecord{Group: group, Lineage: "l", CurrentTerm: 5, LastVoteCand: []byte("candidate")}))
	}
	must(t, v.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	page := os.Getpagesize()
	for at := 2 * page; at < len(whole); at += page {
		for bit := range 16 * 8 { // every bit of every page header
			b := slices.Clone(whole)
			b[at+bit/8] ^= 1 << (bit % 8)
			damaged := votesPath(t)
			must(t, os.WriteFile(damaged, b, 0o600))
			v, err := OpenVotes(damaged, VotesOptions{})
			if err == nil {
				must(t, v.Close())
			}
			os.Remove(damaged)
			if bit > 80 && testing.Short() {
				break
			}
		}
	}
}

func TestElectionsShareTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := openVotes(t, votesPath(t), VotesOptions{})
		commits := 0
		disk := v.commit
		v.commit = func(values map[uint32][]byte) error {
			commits++
			time.Sleep(time.Millisecond) // virtual: the others queue meanwhile
			return disk(values)
		}
		var wg sync.WaitGroup
		for group := range uint32(85) {
			wg.Go(func() { castVote(t, v.Store(group, "l", 0), 2, "me") })
		}
		wg.Wait()
		if commits > 6 {
			t.Errorf("%d transactions for 85 elections", commits)
		}
		must(t, v.Close())
	})
}

func TestFailedVoteStopsTheFileOnce(t *testing.T) {
	fatal := 0
	v := openVotes(t, votesPath(t), VotesOptions{Fatal: func(error) { fatal++ }})
	s := v.Store(1, "l", 0)
	castVote(t, s, 1, "a")
	v.commit = func(map[uint32][]byte) error { return errors.New("input/output error") }
	mustBe(t, s.SetUint64([]byte(keyCurrentTerm), 2), ErrFailed)
	mustBe(t, s.SetUint64([]byte(keyCurrentTerm), 2), ErrFailed)
	if r, _, _ := v.Record(1); r.CurrentTerm != 1 {
		t.Errorf("a term that was not written can be read: %d", r.CurrentTerm)
	}
	mustBe(t, v.Close(), ErrFailed)
	<-v.stopped
	if fatal != 1 {
		t.Errorf("fatal was called %d times", fatal)
	}
}

func TestHangingVoteMissesTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fatal := make(chan error, 2)
		v := openVotes(t, votesPath(t), VotesOptions{Fatal: func(err error) { fatal <- err }})
		release := make(chan struct{})
		v.commit = func(map[uint32][]byte) error { <-release; return errors.New("late") }
		start := time.Now()
		mustBe(t, v.Put(VoteRecord{Group: 1}), ErrFailed)
		if d := time.Since(start); d != AppendDeadline {
			t.Errorf("the write ended after %v", d)
		}
		mustBe(t, <-fatal, errDeadline)
		close(release)
		<-v.stopped
		must(t, v.db.Close())
	})
}
