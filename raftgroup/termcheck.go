package raftgroup

import (
	"sync"

	"github.com/flotilla-db/flotilla/membership"
)

// TermVerdict is what the answers so far say about a leader's term.
type TermVerdict uint8

// The verdicts of a check.
const (
	TermOpen      TermVerdict = iota // more answers are needed
	TermConfirmed                    // a majority of the voters knew no higher term: it led when the read began
	TermDeposed                      // a voter has seen a higher term
	TermUnreached                    // a majority can no longer be had
)

// termTally counts the voters' answers to one check. It is pure: the leader
// itself counts from the start, since it noted its term while it led; the term
// that it has when the answers arrive is never compared, or a deposed leader
// would pass.
type termTally struct {
	term    uint64 // noted when the check began
	voters  int    // of the latest configuration, the leader included
	granted int    // voters whose term was at most term; the leader from the start, if it votes
	missing int    // voters that cannot answer
}

func newTermTally(term uint64, voters int, selfVotes bool) termTally {
	t := termTally{term: term, voters: voters}
	if selfVotes {
		t.granted = 1
	}
	return t
}

func (t *termTally) majority() int { return t.voters/2 + 1 }

func (t *termTally) verdict() TermVerdict {
	switch {
	case t.granted >= t.majority():
		return TermConfirmed
	case t.voters-t.missing < t.majority():
		return TermUnreached
	}
	return TermOpen
}

// answer counts one voter's answer.
func (t *termTally) answer(a termAnswer) TermVerdict {
	switch {
	case !a.here:
		t.missing++
	case a.term > t.term:
		return TermDeposed
	default:
		t.granted++
	}
	return t.verdict()
}

// termCheck is one check under way. Readers may join it until the first of its
// questions is sent: every answer is then younger than every reader.
type termCheck struct {
	term uint64
	done chan struct{}

	mu      sync.Mutex
	sent    bool        // guarded by mu: a question is on its way, nobody may join
	tally   termTally   // guarded by mu
	verdict TermVerdict // guarded by mu; written before done is closed
}

func newTermCheck(term uint64, voters int, selfVotes bool) *termCheck {
	c := &termCheck{term: term, done: make(chan struct{}), tally: newTermTally(term, voters, selfVotes)}
	if c.verdict = c.tally.verdict(); c.verdict != TermOpen {
		close(c.done) // a sole voter
	}
	return c
}

// joinable reports whether a reader that begins now may wait for this check.
func (c *termCheck) joinable(term uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.term == term && !c.sent && c.verdict == TermOpen
}

// markSent closes the check to new readers; false if it needs no more answers.
func (c *termCheck) markSent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = true
	return c.verdict == TermOpen
}

func (c *termCheck) answer(a termAnswer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verdict != TermOpen {
		return
	}
	if c.verdict = c.tally.answer(a); c.verdict != TermOpen {
		close(c.done)
	}
}

// result is the verdict, TermOpen before done is closed.
func (c *termCheck) result() TermVerdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verdict
}

// termQuery is one question of a check to one voter.
type termQuery struct {
	check    *termCheck
	question termQuestion
	to       membership.NodeID
}
