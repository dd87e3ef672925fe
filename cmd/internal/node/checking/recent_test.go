package checking

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// What all groups have in common is read once for many deep checks, and again for one a while later.
func TestDeepChecksOfOneMomentShareAReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, reads, takes := newRecentScrub(), 0, time.Duration(0)
		fails := error(nil)
		read := func(ctx context.Context) ([]badRecord, error) {
			reads++
			if takes > 0 {
				time.Sleep(takes)
			}
			return []badRecord{{BadRecord: raftlog.BadRecord{Index: uint64(reads)}}}, fails
		}
		check := func(what string, want int) {
			t.Helper()
			bad, err := r.last(t.Context(), read)
			if err != nil || reads != want || len(bad) != 1 || bad[0].Index != uint64(want) {
				t.Errorf("%s: %d readings, %v, %v; want %d", what, reads, bad, err, want)
			}
		}
		check("the first", 1)
		time.Sleep(recentFresh - time.Nanosecond)
		check("a moment later", 1)
		time.Sleep(time.Nanosecond)
		takes = time.Minute
		check("a while later", 2)
		time.Sleep(time.Minute - time.Nanosecond)
		check("as long after it as it took", 2)
		time.Sleep(time.Nanosecond)
		fails = errors.New("closed")
		if bad, err := r.last(t.Context(), read); !errors.Is(err, fails) {
			t.Errorf("%v, %v", bad, err)
		}
		fails, takes = nil, 0
		check("after one that failed", 4)

		takes = time.Hour
		time.Sleep(recentFresh)
		go func() { _, _ = r.last(context.Background(), read) }()
		synctest.Wait()
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.last(limited, read); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who does not want to wait: %v", err)
		}
		check("who waits for one under way", 5)
	})
}
