package antientropy

import "time"

const (
	// RenewEvery is how often the views of a check are prolonged.
	RenewEvery = 30 * time.Second
	// CutPurpose is what the leases of a check's views say that they are for.
	CutPurpose = "verify"
	// DefaultPerNode is the N of "N groups a node at once".
	DefaultPerNode = 2
	// MaxFindings bounds the findings of one report; FindingsTotal counts all.
	MaxFindings = 1000
	// MaxDevices bounds the devices of one finding.
	MaxDevices = 32

	maxAttempts   = 3       // of a check that was interrupted, and of the check after a repair
	maxLeaves     = 1 << 20 // that a replica may list
	rereadBatch   = 256     // leaves of one call
	maxDetails    = 64      // findings of one check whose devices are asked for
	maxWhyBytes   = 512     // of a text that a replica gave
	maxMissing    = 16      // replicas that Unchecked names
	handOverFirst = 10 * time.Millisecond
	handOverWait  = 30 * time.Second
	handOverPoll  = 200 * time.Millisecond // between two looks, at most
	retryPause    = 200 * time.Millisecond // doubled with each attempt
	awayFirst     = 20 * time.Millisecond
	awayPoll      = time.Second // between two looks for who is away, at most
	awayBound     = time.Minute // for which who is away is waited for

	callBound    = 10 * time.Second // of a small question, an accusation, a cut
	endBound     = 15 * time.Second
	rootBound    = time.Minute      // of waiting until a replica has applied the cut
	rereadBound  = 10 * time.Minute // of one batch
	inspectBound = 24 * time.Hour
	turnBound    = 30 * time.Minute // that a repair waits for others of its node
	repairBound  = time.Hour        // of the wait for a job, which goes on: the next check sees what came of it
)
