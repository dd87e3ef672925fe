package checking

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// The rate is that of all re-reading on a node: what a scrub reads, deep checks wait for, and the other way round.
func TestScrubAndDeepChecksShareTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		votes, err := raftlog.OpenVotes(filepath.Join(t.TempDir(), "votes.db"), raftlog.VotesOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer votes.Close()
		const rate = 256 << 10
		pace := newPace(func() config.AntiEntropy { return config.AntiEntropy{BatchSize: 1, Rate: rate} })
		yields := 0
		pace.yield = func() { yields++ }
		c := &Config{Votes: votes}
		s, began, bytes := newScrub(c, pace, newLogs(c, pace), newSuspects(c)), time.Now(), int64(0)
		for range 20 {
			read, err := s.step(t.Context(), antientropy.ScrubStep{Part: partVotes})
			if err != nil || read == 0 {
				t.Fatalf("%d bytes: %v", read, err)
			}
			if err := pace.Wait(t.Context(), int(read)); err != nil { // a deep check
				t.Fatal(err)
			}
			bytes += 2 * read
		}
		if took, want := time.Since(began), time.Duration(bytes)*time.Second/rate; took < want*9/10 || yields != 40 {
			t.Errorf("%d bytes took %v, at %d bytes a second; clients went first %d times", bytes, took, rate, yields)
		}
	})
}

// No step of a scrub asks the file system for the size of every shard.
func TestScrubAsksForSizesOnceAWhile(t *testing.T) {
	asked, now := 0, time.Unix(1000, 0)
	ask := func() int64 { asked++; return int64(100 * asked) }
	var size shardSize
	for range 1000 {
		if size = size.fresh(now, ask); size.bytes != 100 || asked != 1 {
			t.Fatalf("%d bytes, asked %d times", size.bytes, asked)
		}
		now = now.Add(sizeFresh / 1001)
	}
	if size = size.fresh(now.Add(sizeFresh), ask); size.bytes != 200 {
		t.Errorf("a while later: %d", size.bytes)
	}
}
