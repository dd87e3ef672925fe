package antientropy

import (
	"cmp"
	"slices"
	"time"
)

// Settings are those of storage.anti_entropy.
type Settings struct {
	Enabled       bool
	Interval      time.Duration // between two checks of a group
	ScrubInterval time.Duration // in which everything is read again once
	Rate          int64         // bytes/s that scrub and deep checks read at most; 0: no bound of an operator
}

const (
	firstRetry  = time.Minute // after a check that did not prove; doubled with each, up to the interval
	minInterval = time.Second
)

// Turn is what the scheduler knows of one group that this node leads.
type Turn struct {
	Group    uint32
	Since    time.Time // this node has been responsible for it since
	Proof    time.Time // when it was last found equal, by whomever; zero: not known
	Tried    time.Time // when the last check of this node ended; zero: none
	Failures int       // checks in a row since the last proof that did not end with one
	Soon     bool      // the last report said Passing: the first retry may come sooner
	Wanted   time.Time // a check is wanted from then on, whatever the interval says; zero: none
}

// Spread is the moment in a time that a group has for itself: neighbours are far apart. The golden ratio spreads any
// run of numbers evenly.
func Spread(group uint32, over time.Duration) time.Duration {
	const golden = 2654435769 // 2^32 / 1.618...
	return time.Duration(float64(group*golden) / (1 << 32) * float64(over))
}

// Due lists the groups that are to be checked now, the most overdue first. It is pure. Turns of groups that are being
// checked now are left out by the caller, who also bounds how many are at once.
//
// Each group has its own moment in the interval, the same in every one, and neighbours are far apart: so the checks of
// any number of groups are spread evenly, on every node and after every start. A group whose last proof is not known has
// its first check at its first moment, not at once: 256 of them would come together.
func Due(now time.Time, s Settings, turns []Turn) []uint32 {
	type overdue struct {
		group uint32
		since time.Time
	}
	var due []overdue
	for _, t := range turns {
		if at := t.due(s); !at.IsZero() && !at.After(now) {
			due = append(due, overdue{t.Group, at})
		}
	}
	slices.SortFunc(due, func(a, b overdue) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.group, b.group)) })
	out := make([]uint32, len(due))
	for i, d := range due {
		out[i] = d.group
	}
	return out
}

// NextDue is when Due may have something to say without anything having happened before; zero: never.
func NextDue(_ time.Time, s Settings, turns []Turn) (next time.Time) {
	for _, t := range turns {
		if at := t.due(s); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// due is when the group is to be checked; zero: never.
func (t *Turn) due(s Settings) time.Time {
	if !s.Enabled || s.Interval <= 0 {
		return time.Time{}
	}
	at := t.regular(s)
	if !t.Wanted.IsZero() && t.Wanted.Before(at) {
		return t.Wanted
	}
	return at
}

// regular is when the group is to be checked by the interval, and by what came of the last check.
func (t *Turn) regular(s Settings) time.Time {
	interval := max(s.Interval, minInterval)
	if t.Failures > 0 && !t.Tried.IsZero() {
		return t.Tried.Add(t.retry(interval))
	}
	last := t.Proof
	if last.IsZero() {
		last = t.Since
	}
	if t.Tried.After(last) {
		last = t.Tried
	}
	return momentAfter(last, t.Group, interval)
}

// retry is how long a group waits for another check after one that did not prove.
func (t *Turn) retry(interval time.Duration) time.Duration {
	wait := min(firstRetry, interval)
	if t.Soon && t.Failures == 1 {
		wait /= 8
	}
	for i := 1; i < t.Failures && wait < interval; i++ {
		wait *= 2
	}
	return min(wait, interval)
}

// momentAfter is the first moment of a group after a time.
func momentAfter(last time.Time, group uint32, interval time.Duration) time.Time {
	moment := last.UTC().Truncate(interval).Add(Spread(group, interval))
	for !moment.After(last) {
		moment = moment.Add(interval)
	}
	return moment
}
