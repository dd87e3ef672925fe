package crashtest

import "testing"

// A node that dies while groups are being born: each of them is born all the same, or was acknowledged nothing.
func TestKillWhileGroupsAreBorn(t *testing.T) {
	for round := range rounds(2) {
		r := newRig(t, plan{nodes: 3, devices: 300, rate: 1500})
		r.resume()
		r.awaitAcks(1 + 150*round)
		r.killOne(round % 3)
		r.check("after the round")
		r.close()
	}
}
