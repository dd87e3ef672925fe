package resync

import (
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

const (
	// DefaultMaxPause is the longest that a cut may pause writes.
	DefaultMaxPause = 100 * time.Millisecond
	// DefaultMaxAttempts is storage.sync.max_attempts.
	DefaultMaxAttempts = 3
	// DefaultLeaderShare is the share of the bytes that the leader gives while another source lives.
	DefaultLeaderShare = 0.5
	// InPlaceBytes is the most that is put into the replica's own file in one transaction, whose pages are on the heap.
	// More, and a new file is built.
	InPlaceBytes = storage.MaxInPlaceBytes

	leaseTTL     = 60 * time.Second // of the log lease and of the cut's view, on each replica's own clock
	pinTTL       = time.Hour        // of a pinned record, should the leader never hear of the job again
	renewEvery   = 15 * time.Second
	leaseSlack   = 15 * time.Second // that a renewal may be under way in the log when its sender gave up
	stalledAfter = 30 * time.Second // without progress
	rowInterval  = 500 * time.Millisecond

	dryRunIdle   = 30 * time.Second // of any stage of a dry run: somebody waits for it
	dryRunAsk    = 2 * time.Second  // that a dry run waits for a leader that answers
	dryRunList   = 5 * time.Second  // that it waits for what the leader holds; then the price stays an estimate
	maxRestarts  = 32               // in a row, without a byte or an entry in between; then the attempt is broken
	maxAborts    = 8                // cuts of one attempt that were given up
	recentCuts   = 16               // whose views a new cut ends; older ones were told to end before
	maxCuts      = 512              // of a job
	fetchRounds  = 3                // of one attempt: what was copied from a bad leaf is fetched in another
	endTries     = 5                // of telling the row's keeper that the job is about to end
	installBound = 10 * time.Minute
	maxTurn      = 7 * 24 * time.Hour // that a job waits for the copies before it: each of those is bounded
)

// readingTime is how long reading and hashing some bytes may take, on a slow disk.
func readingTime(bytes int64) time.Duration {
	const slow = 10 << 20 // bytes/s
	return time.Duration(bytes/slow+1) * time.Second
}
