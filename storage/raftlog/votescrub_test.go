package raftlog

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
)

// recordsOf lists what a start would find in a vote file; nil: it cannot be opened.
func recordsOf(t *testing.T, path string) map[uint32]VoteRecord {
	t.Helper()
	v, err := OpenVotes(copyFile(t, path), VotesOptions{})
	if err != nil {
		return nil
	}
	defer v.Close()
	list := make(map[uint32]VoteRecord)
	for _, group := range v.Groups() {
		r, ok, err := v.Record(group)
		if err != nil || !ok {
			return nil
		}
		list[group] = r
	}
	return list
}

func someVotes(t *testing.T, v *Votes, r *rand.Rand, groups uint32) {
	t.Helper()
	for group := range groups {
		must(t, v.Put(VoteRecord{Group: group, Lineage: "7d1e", Generation: uint32(r.IntN(3)), CurrentTerm: 2 + r.Uint64N(9),
			LastVoteTerm: 2, LastVoteCand: []byte("n2.1")}))
	}
}

// TestScrubOfVotesMendsEveryByteThatMatters: whatever byte goes bad while the file is open, either a scrub finds it
// and the file is whole again, or a start would not have noticed.
func TestScrubOfVotesMendsEveryByteThatMatters(t *testing.T) {
	path := votesPath(t)
	v := openVotes(t, path, VotesOptions{})
	r := rand.New(rand.NewPCG(3, 3))
	found := 0
	for round := range damageRounds() {
		if round%20 == 0 {
			someVotes(t, v, r, 40) // pages are freed, too
		}
		want := recordsOf(t, path)
		if n, bad, err := v.Scrub(context.Background()); err != nil || len(bad) > 0 || n == 0 {
			t.Fatalf("a whole file: %v %v", bad, err)
		}
		b, err := os.ReadFile(path)
		must(t, err)
		off := r.IntN(len(b))
		if round%2 == 0 { // where something is written
			for b[off] == 0 {
				off = (off + 1) % len(b)
			}
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte{b[off] ^ 1<<r.IntN(8)}, int64(off))
		must(t, err)
		must(t, f.Close())
		_, bad, err := v.Scrub(context.Background())
		must(t, err)
		if len(bad) > 0 {
			found++
		}
		if slices.ContainsFunc(bad, func(b BadRecord) bool { return !b.Mended || b.Reason == "" }) {
			t.Errorf("byte %d: %+v", off, bad)
		}
		if got := recordsOf(t, path); !reflect.DeepEqual(got, want) {
			t.Fatalf("byte %d: found %v, and a start finds other votes", off, bad)
		}
		someVotes(t, v, r, 1) // it can be written
	}
	if found < damageRounds()/10 {
		t.Errorf("%d were found", found)
	}
	t.Log(found, "found")
}

// TestVoteFileThatIsGoneOrAnotherIsWrittenAnew: truncated, removed, an older copy, that of another node.
func TestVoteFileThatIsGoneOrAnotherIsWrittenAnew(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	other := votesPath(t)
	o := openVotes(t, other, VotesOptions{})
	someVotes(t, o, r, 3)
	must(t, o.Close())
	for name, spoil := range map[string]func(path, old string) error{
		"removed":    func(path, _ string) error { return os.Remove(path) },
		"empty":      func(path, _ string) error { return os.Truncate(path, 0) },
		"half":       func(path, _ string) error { return os.Truncate(path, 8<<10) },
		"older":      func(path, old string) error { return os.Rename(old, path) },
		"of another": func(path, _ string) error { return os.Rename(copyFile(t, other), path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := votesPath(t)
			v := openVotes(t, path, VotesOptions{})
			someVotes(t, v, r, 30)
			old := filepath.Join(filepath.Dir(path), "old")
			must(t, os.Rename(copyFile(t, path), old))
			someVotes(t, v, r, 30)
			want := recordsOf(t, path)
			must(t, spoil(path, old))
			var wg sync.WaitGroup
			for range 3 { // and votes are cast meanwhile
				wg.Go(func() {
					if _, _, err := v.Scrub(context.Background()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Go(func() {
				if err := v.Put(VoteRecord{Group: 99, Lineage: "7d1e", CurrentTerm: 5}); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			want[99] = VoteRecord{Group: 99, Lineage: "7d1e", CurrentTerm: 5}
			if got := recordsOf(t, path); !reflect.DeepEqual(got, want) {
				t.Errorf("a start finds %v", got)
			}
			if _, bad, err := v.Scrub(context.Background()); err != nil || len(bad) > 0 {
				t.Errorf("%v %v", bad, err)
			}
		})
	}
}

// TestRecordThatWasUnreadableStaysSo: memory does not have it either; a start must not take it for one that never was.
func TestRecordThatWasUnreadableStaysSo(t *testing.T) {
	path := votesPath(t)
	v := openVotes(t, path, VotesOptions{})
	someVotes(t, v, rand.New(rand.NewPCG(1, 1)), 3)
	must(t, v.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	for at, hit := 0, 0; at+4 < len(b); at++ {
		if string(b[at:at+4]) == "7d1e" {
			if hit++; hit%3 == 2 { // of one group, in each copy
				b[at] ^= 1
			}
		}
	}
	must(t, os.WriteFile(path, b, 0o600))
	v = openVotes(t, path, VotesOptions{})
	unreadable := func() (n int) {
		for _, group := range v.Groups() {
			if _, _, err := v.Record(group); err != nil {
				n++
			}
		}
		return n
	}
	before := unreadable()
	if before == 0 {
		t.Skip("the flip hit an old page")
	}
	must(t, os.Truncate(path, 0))
	_, bad, err := v.Scrub(context.Background())
	must(t, err)
	if len(bad) == 0 {
		t.Error("nothing was found")
	}
	must(t, v.Close())
	v = openVotes(t, path, VotesOptions{})
	if unreadable() != before || len(v.Groups()) != 3 {
		t.Errorf("%d of %d are unreadable", unreadable(), len(v.Groups()))
	}
	if _, bad, err := v.Scrub(context.Background()); err != nil || len(bad) > 0 {
		t.Errorf("%v %v", bad, err)
	}
}
