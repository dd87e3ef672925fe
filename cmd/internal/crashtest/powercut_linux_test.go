package crashtest

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// roundsOfControl bounds how often the control has to show that a power cut loses what was not synced.
	roundsOfControl = 5
	// logIsLost is what a node says of each group whose log is gone.
	logIsLost = "replica comes back under a new generation"
	wholeLog  = 16 << 20 // bytes
)

// I1: an acked write is on a quorum's disks. The node is alone, so each ack rests on this disk only; its power is cut
// in mid-write, again and again.
func TestI1PowerCutLosesNothingAcked(t *testing.T) {
	if lost := powerCuts(t, "", rounds(10)); lost != "" {
		t.Errorf("lost: %s", lost)
	}
}

// The test above is worth something only if it finds a binary that does not sync.
func TestPowerCutLosesWhatWasNotSynced(t *testing.T) {
	lost := powerCuts(t, "flotilla_nosync", roundsOfControl)
	if lost == "" {
		t.Fatalf("a binary without fsync has lost nothing in %d power cuts: the test shows nothing", roundsOfControl)
	}
	t.Logf("without fsync: %s", lost)
}

// powerCuts runs a lone node through so many power cuts and says what was lost first, "" for nothing.
func powerCuts(t *testing.T, tag string, n int) (lost string) {
	binary(t, tag) // before the disk is made: it may have to be built
	disk := newLoopDisk(t)
	r := newRig(t, plan{nodes: 1, tag: tag, devices: 300, rate: 3000, dataDir: filepath.Join(disk.at, "data"),
		args: []string{"--storage-disk-reserve", "64MiB"}})
	node := r.Processes[0]
	for round := range n {
		before := r.ledger.Acked()
		r.resume()
		r.awaitAcks(ackedEachRound)
		disk.cut(t)
		r.failStop(node)
		r.pause()
		disk.plug(t)
		if lost := r.back(tag); lost != "" {
			return fmt.Sprintf("round %d: %s", round+1, lost)
		}
		report := r.report()
		t.Logf("round %d: %d acked in it; %s", round+1, r.ledger.Acked()-before, report)
		if !report.OK() {
			return fmt.Sprintf("round %d: %s\n%s", round+1, report, strings.Join(report.Examples, "\n"))
		}
	}
	return ""
}

// back starts the node again. One that has lost the log of a group that it knows says so, and does not lead that
// group: with that binary this is one of the ways in which the loss shows.
func (r *rig) back(tag string) (lost string) {
	r.t.Helper()
	if tag == "" {
		r.start()
		return ""
	}
	node := r.Processes[0]
	must(r.t, node.Start())
	r.until("the node is ready, or says what is lost", func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		if strings.Contains(node.Tail(wholeLog), logIsLost) {
			lost = logIsLost
		}
		return lost != "" || node.AwaitReady(ctx) == nil
	})
	return lost
}
