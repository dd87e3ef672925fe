package raftgroup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// A replica is suspect where a check has found leaves of it wrong, or where a
// leaf's bytes cannot be read. It goes on voting and takes entries, but serves
// none of those leaves, is nobody's first choice for a leader, and waits for a
// repair. Where no majority could say who is wrong, the leaves are disputed: they
// are served as before, since nobody knows better, and the state says so.
//
// A suspicion is durable before anything else is done about it, and it is known
// again before a start serves a byte. It ends by Clear alone: a repair does not
// end it, nor a copy; the check after it does, at a later cut. Until then OnSuspect
// is called again and again.

// ErrTooSuspect: so many leaves are accused that the whole replica is; it has
// gone to quarantine, and a full copy ends that.
var ErrTooSuspect = errors.New("too many leaves are suspect")

// maxSuspectLeaves bounds the leaves of a suspicion, and with them its mark.
const maxSuspectLeaves = 1 << 14

// Suspicion is what is held against a replica.
type Suspicion struct {
	Since time.Time
	// Disputed: nobody knows whether this replica is wrong, or another one. Its
	// leaves are served.
	Disputed bool
	Why      string // one line
	Leaves   []digest.Leaf
}

// suspicions are those of a replica: the leaves that are wrong or unreadable, and
// those in dispute. No leaf is in both.
type suspicions struct {
	wrong, disputed *Suspicion // nil: nothing
}

// with is s and one more. What is wrong is not disputed any more, and what is
// disputed stays wrong where it was: an unreadable leaf is no opinion.
func (s suspicions) with(n Suspicion) suspicions {
	if !n.Disputed {
		s.disputed = s.disputed.without(n.Leaves)
		s.wrong = s.wrong.and(n)
		return s
	}
	if s.wrong != nil {
		n.Leaves = slices.DeleteFunc(slices.Clone(n.Leaves), s.wrong.names)
		if len(n.Leaves) == 0 {
			return s
		}
	}
	s.disputed = s.disputed.and(n)
	return s
}

// but is s without leaves.
func (s suspicions) but(leaves []digest.Leaf) suspicions {
	return suspicions{wrong: s.wrong.without(leaves), disputed: s.disputed.without(leaves)}
}

// also is s and all of n: nothing that either holds against the replica is dropped.
func (s suspicions) also(n suspicions) suspicions {
	for _, one := range []*Suspicion{n.disputed, n.wrong} {
		if one != nil {
			s = s.with(*one)
		}
	}
	return s
}

func (s suspicions) none() bool { return s.wrong == nil && s.disputed == nil }

// gravest is what the replica's state is called after.
func (s suspicions) gravest() (Suspicion, bool) {
	switch {
	case s.wrong != nil:
		return s.wrong.clone(), true
	case s.disputed != nil:
		return s.disputed.clone(), true
	}
	return Suspicion{}, false
}

func (s suspicions) wrongLeaves() []digest.Leaf {
	if s.wrong == nil {
		return nil
	}
	return s.wrong.Leaves
}

func (s *Suspicion) names(leaf digest.Leaf) bool {
	_, found := slices.BinarySearchFunc(s.Leaves, leaf, digest.Leaf.Compare)
	return found
}

func (s *Suspicion) clone() Suspicion {
	c := *s
	c.Leaves = slices.Clone(s.Leaves)
	return c
}

// and is s, which may be nil, with more leaves. The first reason stays.
func (s *Suspicion) and(n Suspicion) *Suspicion {
	merged := Suspicion{Since: n.Since, Disputed: n.Disputed, Why: n.Why}
	if s != nil {
		merged = s.clone()
	}
	merged.Leaves = append(merged.Leaves, n.Leaves...)
	slices.SortFunc(merged.Leaves, digest.Leaf.Compare)
	merged.Leaves = slices.Compact(merged.Leaves)
	return &merged
}

// without is s less some leaves, nil if none is left.
func (s *Suspicion) without(leaves []digest.Leaf) *Suspicion {
	if s == nil {
		return nil
	}
	gone := Suspicion{Leaves: slices.Clone(leaves)}
	slices.SortFunc(gone.Leaves, digest.Leaf.Compare)
	left := s.clone()
	left.Leaves = slices.DeleteFunc(left.Leaves, gone.names)
	if len(left.Leaves) == 0 {
		return nil
	}
	return &left
}

// maxNamedLeaves are named in a line.
const maxNamedLeaves = 3

// line says in one line what is held against the replica, and what ends it.
func (s *Suspicion) line() string {
	var names []string
	for _, l := range s.Leaves[:min(len(s.Leaves), maxNamedLeaves)] {
		names = append(names, fmt.Sprintf("window %d slot %d", l.Window, l.Slot))
	}
	if more := len(s.Leaves) - maxNamedLeaves; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	what, end := "is not served here", "until it is repaired and proven"
	if s.Disputed {
		what, end = "is disputed", "until a check finds a majority"
	}
	return fmt.Sprintf("%s %s since %s, %s: %s", strings.Join(names, ", "), what, s.Since.UTC().Format(time.RFC3339), end, oneLine(s.Why))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Suspect holds something against this replica, beside what is held against it
// already. It returns once that is durable and the leaves are served no more; a
// leader begins to hand over then. It may be told of a replica that does not run.
func (g *Group) Suspect(s Suspicion) error {
	if len(s.Leaves) == 0 {
		return fmt.Errorf("suspect group %d: no leaves are named", g.id)
	}
	s.Since = cmp.Or(s.Since, time.Now()).UTC()
	err := g.changeSuspicions(func(now suspicions) (suspicions, error) {
		next := now.with(s)
		if next.wrong != nil && len(next.wrong.Leaves) > maxSuspectLeaves {
			return now, ErrTooSuspect
		}
		if d := next.disputed; d != nil {
			d.Leaves = d.Leaves[:min(len(d.Leaves), maxSuspectLeaves)] // all are served anyway
		}
		return next, nil
	})
	if errors.Is(err, ErrTooSuspect) {
		cause := fmt.Errorf("%w: more than %d: %s", ErrTooSuspect, maxSuspectLeaves, s.Why)
		g.host.takeOut(g.id, func(g *Group) { g.quarantine(cause) })
	}
	if err != nil {
		return fmt.Errorf("suspect group %d: %w", g.id, err)
	}
	return nil
}

// Suspicion is what is held against this replica; what is wrong comes before what
// is disputed.
func (g *Group) Suspicion() (Suspicion, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.suspicions.gravest()
}

// Suspicions are all that is held against this replica: at most one of wrong
// leaves and one of disputed ones.
func (g *Group) Suspicions() []Suspicion {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var all []Suspicion
	for _, s := range []*Suspicion{g.suspicions.wrong, g.suspicions.disputed} {
		if s != nil {
			all = append(all, s.clone())
		}
	}
	return all
}

// Clear acquits the replica of some leaves, or of all if none are named, after a
// check at a later cut than the repair's. It returns once that is durable; then
// the leaves are served again.
func (g *Group) Clear(leaves ...digest.Leaf) error {
	err := g.changeSuspicions(func(now suspicions) (suspicions, error) {
		if len(leaves) == 0 {
			return suspicions{}, nil
		}
		return now.but(leaves), nil
	})
	if err != nil {
		return fmt.Errorf("acquit group %d: %w", g.id, err)
	}
	return nil
}

// changeSuspicions makes a change durable and acts on it. Where the disk takes no
// mark, leaves are distrusted all the same, until the process ends; nothing is
// acquitted without one.
func (g *Group) changeSuspicions(change func(suspicions) (suspicions, error)) error {
	g.suspecting.Lock()
	defer g.suspecting.Unlock()
	now, err := g.recall()
	if err != nil {
		return err
	}
	next, err := change(now)
	if err != nil {
		return err
	}
	marked := g.host.markSuspect(g.id, next)
	if marked != nil {
		next = now.also(next)
	}
	g.mu.Lock()
	g.suspicions = next
	in := g.instance
	g.mu.Unlock()
	if in != nil {
		in.suspect(now, next)
	}
	g.tellSuspicion()
	if g.host.config.OnChange != nil {
		g.host.config.OnChange(g.id)
	}
	return marked
}

// heldAgainst is all that is held against the replica.
func (g *Group) heldAgainst() suspicions {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.suspicions
}

// tellSuspicion tells the owner that a repair is due.
func (g *Group) tellSuspicion() {
	if s, some := g.Suspicion(); some && g.host.config.OnSuspect != nil {
		g.host.config.OnSuspect(g.id, s)
	}
}

// recall reads the mark, once. The caller holds suspecting.
func (g *Group) recall() (suspicions, error) {
	g.mu.RLock()
	known, s := g.recalled, g.suspicions
	g.mu.RUnlock()
	if known {
		return s, nil
	}
	s, err := g.host.suspected(g.id)
	if err != nil {
		return suspicions{}, err
	}
	g.mu.Lock()
	g.recalled, g.suspicions = true, s
	g.mu.Unlock()
	return s, nil
}

// distrust makes the shard serve what is not suspect, and nothing else.
func distrust(shard *storage.Shard, was, now suspicions) {
	var trusted []digest.Leaf
	for _, l := range was.wrongLeaves() {
		if now.wrong == nil || !now.wrong.names(l) {
			trusted = append(trusted, l)
		}
	}
	if leaves := now.wrongLeaves(); len(leaves) > 0 {
		shard.Distrust(leaves...)
	}
	if len(trusted) > 0 {
		shard.Trust(trusted...)
	}
}
