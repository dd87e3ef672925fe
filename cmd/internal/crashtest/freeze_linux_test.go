package crashtest

import (
	"testing"
	"time"
)

// writableWithin is the limit for a leader that falls silent without closing its connections.
const writableWithin = 5 * time.Second

// A node that is stopped by SIGSTOP keeps its connections and says nothing: every group, also those that it led,
// takes writes again within 5 s. Afterwards it comes back, and nothing that it thought is believed.
func TestFrozenLeaderIsReplaced(t *testing.T) {
	r := newRig(t, plan{nodes: 3, devices: 600, rate: 800})
	r.resume(1, 2)
	r.awaitSettled()
	led := r.leads(r.Processes[0])
	if led == 0 {
		t.Fatal("n1 leads nothing: the test shows nothing")
	}
	must(t, r.Processes[0].Freeze())
	defer r.Processes[0].Thaw()
	r.ledger.ResetWaits()
	longest := r.awaitAllGroups()
	t.Logf("%d groups, %d of them led by the frozen node: the longest wait was %v (group %d)", r.ledger.Groups(), led, longest.Duration, longest.Group)
	if longest.Duration > writableWithin {
		t.Errorf("a write of group %d waited %v, longer than %v", longest.Group, longest.Duration, writableWithin)
	}
	r.check("with n1 frozen", r.Processes[1], r.Processes[2])
	must(t, r.Processes[0].Thaw())
	r.start()
	r.check("through the node that was frozen", r.Processes[0])
	r.verify()
}
