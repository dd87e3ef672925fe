package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// outcome is what is known of one part. The numbers are on the wire.
type outcome uint8

const (
	pending    outcome = iota // on the wire: not a legal answer
	applied                   // committed by a quorum and applied on the leader
	notLeader                 // not applied: ask the leader named
	notApplied                // not applied: ask again
	unknown                   // may be applied, now or later
	busy                      // not applied: the queue is full
	noSpace                   // not applied: the disk reserve is reached
	refused                   // never will be applied: the command is wrong
	outcomeEnd
)

// repeatable reports whether the node may try again by itself.
func (o outcome) repeatable() bool {
	return o == notLeader || o == notApplied || o == busy || o == noSpace
}

// judge says what an error of a proposal or of a forward means. What is not
// listed is unknown.
func judge(err error) (o outcome, leader string) {
	if err == nil {
		return applied, ""
	}
	if errors.Is(err, ErrUnknown) || errors.Is(err, ErrBroken) {
		return unknown, ""
	}
	if nl, ok := errors.AsType[*NotLeaderError](err); ok {
		return notLeader, nl.Leader
	}
	switch {
	case errors.Is(err, ErrBusy):
		return busy, ""
	case errors.Is(err, ErrNoSpace):
		return noSpace, ""
	case errors.Is(err, ErrUnreachable), errors.Is(err, ErrNotApplied):
		return notApplied, ""
	case errors.Is(err, ErrRefused):
		return refused, ""
	}
	return unknown, ""
}

// tally counts the outcomes of a write's parts and keeps one example of each.
type tally struct {
	count [outcomeEnd]int
	first [outcomeEnd]*part
}

func (t *tally) add(p *part) {
	if t.count[p.outcome]++; t.first[p.outcome] == nil {
		t.first[p.outcome] = p
	}
}

// verdict turns the outcomes of all parts into the answer for the client; nil
// when everything is applied. The order matters: one unknown part makes the
// whole write unknown, and a write is "not applied" only if no part of it is.
func (t *tally) verdict(ctx context.Context) *api.Error {
	missing := t.count[pending] + t.count[notLeader] + t.count[notApplied] + t.count[busy] + t.count[noSpace] + t.count[refused]
	switch {
	case t.count[unknown] > 0:
		p := t.first[unknown]
		return api.E(api.OutcomeUnknown, "read the points back, or repeat the write with the same timestamps",
			"the write may or may not be applied").Because(plain(p.err)).InGroup(p.group)
	case missing == 0:
		return nil
	case t.count[applied] > 0:
		p := t.firstMissing()
		return api.E(api.PartlyApplied, "repeat the write with the same timestamps",
			"%d of %d parts are applied, the others are not", t.count[applied], t.count[applied]+missing).Because(plain(p.err)).InGroup(p.group)
	}
	p := t.firstMissing()
	return t.missed(ctx, p).InGroup(p.group)
}

func (t *tally) firstMissing() *part {
	for _, o := range [...]outcome{refused, noSpace, busy, notApplied, notLeader, pending} {
		if p := t.first[o]; p != nil {
			return p
		}
	}
	return nil
}

func (t *tally) missed(ctx context.Context, p *part) *api.Error {
	switch p.outcome {
	case refused:
		return api.E(api.InvalidArgument, "", "the write was refused").Because(plain(p.err))
	case noSpace:
		return api.E(api.NoSpace, "make room on the node's disk, or lower storage.disk_reserve", "the write was not applied").Because(plain(p.err))
	case busy:
		return api.E(api.Busy, "retry after a pause", "the write was not applied").Because(plain(p.err))
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return api.E(api.Cancelled, "", "the caller went away, the write was not applied")
	}
	if p.outcome == notLeader || p.err == nil {
		return api.E(api.NoLeader, "retry; see `flotilla group ID` for the group's state", "no leader took the write in time, it was not applied").Because(plain(p.err))
	}
	return api.E(api.NotApplied, "retry", "the write was not applied").Because(plain(p.err))
}

// plain leaves out of an error's text the words for what became of the proposal:
// the answer begins with that, and each layer on the way may have added them.
func plain(err error) error {
	if err == nil {
		return nil
	}
	said := func(words string) bool {
		return words == ErrNotApplied.Error() || words == ErrUnknown.Error() || words == ErrRefused.Error()
	}
	words := slices.DeleteFunc(strings.Split(err.Error(), ": "), said)
	return &replicaError{strings.Join(words, ": "), err}
}

// partError names a remote outcome without its Go error.
func partError(o outcome, node, leader, text string) error {
	switch o {
	case applied:
		return nil
	case notLeader:
		return fmt.Errorf("node %s: %w", node, &NotLeaderError{Leader: leader})
	case notApplied:
		return fmt.Errorf("node %s: %s: %w", node, text, ErrNotApplied)
	case busy:
		return fmt.Errorf("node %s: %w", node, ErrBusy)
	case noSpace:
		return fmt.Errorf("node %s: %w", node, ErrNoSpace)
	case refused:
		return fmt.Errorf("node %s: %s: %w", node, text, ErrRefused)
	}
	return fmt.Errorf("node %s: %s: %w", node, text, ErrUnknown)
}
