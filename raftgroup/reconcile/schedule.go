package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
)

const (
	// recheck is how often the holders of a group are asked that is as it should
	// be: nobody else says that one of them came back under another id.
	recheck = 30 * time.Second
	// recheckSlices spreads the groups over recheck: one slice a second.
	recheckSlices = uint32(recheck / time.Second)
	// pause is the time until the next look at a settled group that waits for
	// what no look hastens: a copy, or a replica that is not open.
	pause = 5 * time.Second
)

// led is what is known of a group while this node leads it.
type led struct {
	looked       bool
	epoch, index uint64    // of the assignment and the configuration, at the last look
	next         time.Time // the look that is due even if both are still the same
	again        bool      // a look was asked for while one was under way
	waits        Step      // what the group waits for; StepNone, Why "" for nothing
	proofs       map[membership.ServerID]proof
}

// round is one look at all groups.
type round struct {
	began time.Time
	back  map[membership.NodeID]struct{} // nodes that came back before it

	mu    sync.Mutex
	quiet map[membership.NodeID]bool // guarded by mu: nodes that did not answer in this round
}

func (l *Loop) beginRound() *round {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &round{began: time.Now(), back: l.back, quiet: make(map[membership.NodeID]bool)}
	l.back = make(map[membership.NodeID]struct{})
	return r
}

func (r *round) silent(node membership.NodeID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.quiet[node]
}

func (r *round) setSilent(node membership.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quiet[node] = true
}

// describe asks a node, once in a round if it hangs: the others of its groups
// would wait just as long.
func (l *Loop) describe(ctx context.Context, node membership.NodeID, group uint32, r *round) (Replica, error) {
	if r.silent(node) {
		return Replica{}, context.DeadlineExceeded
	}
	limited, cancel := context.WithTimeout(ctx, describeLimit)
	defer cancel()
	answer, err := l.peers.Describe(limited, node, group)
	if err != nil && limited.Err() != nil {
		r.setSilent(node)
	}
	return answer, err
}

// due reports whether a group that this node leads has to be looked at. One
// whose assignment is carried out is left alone while neither that nor its
// configuration changes, no holder comes back, and its turn is not yet.
func (l *Loop) due(g *raftgroup.Group, a Assignment, r *round) bool {
	_, index, err := g.Members()
	if err != nil {
		return false // it is closing, or was born just now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.groups[g.ID()]
	if l.busy[g.ID()] {
		if known != nil && a.holdsAny(r.back) {
			known.again = true
		}
		return false
	}
	if known == nil || !known.looked || !a.Settled || known.epoch != a.Epoch || known.index != index {
		return true
	}
	return a.holdsAny(r.back) || !r.began.Before(known.next)
}

func (a Assignment) holdsAny(nodes map[membership.NodeID]struct{}) bool {
	return slices.ContainsFunc(a.Nodes, func(n membership.NodeID) bool {
		_, is := nodes[n]
		return is
	})
}

func (l *Loop) setBusy(group uint32, busy bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if busy {
		l.busy[group] = true
		return
	}
	delete(l.busy, group)
	if known := l.groups[group]; known != nil && known.again {
		known.again, known.next = false, time.Time{}
		l.Poke()
	}
}

// of gives what is known of a group; the caller holds mu.
func (l *Loop) of(group uint32) *led {
	known := l.groups[group]
	if known == nil {
		known = &led{proofs: make(map[membership.ServerID]proof)}
		l.groups[group] = known
	}
	return known
}

// forget drops what is known of a group that another node leads now.
func (l *Loop) forget(group uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.groups, group)
}

// note keeps what a look came to, and when the next one is due.
func (l *Loop) note(group uint32, a Assignment, out outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.of(group)
	first := !known.looked
	known.looked, known.epoch, known.index = true, a.Epoch, out.index
	now := time.Now()
	switch {
	case out.step.Why != "" && !out.lasting:
		known.next = now
	case out.step.Why != "" || out.asleep:
		known.next = now.Add(pause)
	case first:
		known.next = now.Add(time.Duration(1+group%recheckSlices) * recheck / time.Duration(recheckSlices))
	default:
		known.next = now.Add(recheck)
	}
	if out.step.Why != "" && out.step.Why != known.waits.Why {
		l.log.Info("group is not as it is assigned yet", "group", group, "why", out.step.Why)
	}
	known.waits = out.step
}

// Waits says what a group that this node leads waits for, "" for nothing, and
// which replica that is about; zero if it is about none.
func (l *Loop) Waits(group uint32) (why string, about membership.ServerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.groups[group]; known != nil {
		return known.waits.Why, known.waits.Target
	}
	return "", about
}
