package antientropy

import "time"

// Settings are those of storage.anti_entropy.
type Settings struct {
	Enabled       bool
	Interval      time.Duration // between two checks of a group
	ScrubInterval time.Duration // in which everything is read again once
	Rate          int64         // bytes/s that scrub and deep checks read at most; 0: no bound of an operator
}

// Turn is what the scheduler knows of one group that this node leads.
type Turn struct {
	Group    uint32
	Since    time.Time // this node has been responsible for it since
	Proof    time.Time // when it was last found equal, by whomever; zero: not known
	Tried    time.Time // when the last check of this node ended; zero: none
	Failures int       // checks in a row since the last proof that did not end with one
}

// Due lists the groups that are to be checked now, the most overdue first. It is pure. Turns of groups that are being
// checked now are left out by the caller.
func Due(now time.Time, s Settings, turns []Turn) []uint32 { return nil }

// NextDue is when Due may have something to say without anything having happened before; zero: never.
func NextDue(now time.Time, s Settings, turns []Turn) time.Time { return time.Time{} }
