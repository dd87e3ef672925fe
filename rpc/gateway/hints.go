package gateway

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// hints remembers who was last seen to lead a group. A hint may be wrong: it
// costs one more step, never correctness.
type hints struct {
	mu     sync.RWMutex
	leader map[uint32]string // guarded by mu; node names, at most one a group
}

func newHints() *hints { return &hints{leader: map[uint32]string{}} }

func (h *hints) get(group uint32) string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.leader[group]
}

// set notes the leader of a group; "" forgets it.
func (h *hints) set(group uint32, name string) {
	if h.get(group) == name {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if name == "" {
		delete(h.leader, group)
		return
	}
	h.leader[group] = name
}

// Bounds of the pauses between attempts inside the node.
const (
	firstPause = 2 * time.Millisecond
	maxPause   = 50 * time.Millisecond
)

// backOff is the pause before the n-th repetition (from 0), with jitter so
// that the requests of a group that lost its leader do not return in step.
func backOff(n int) time.Duration {
	d := maxPause
	if n < 5 {
		d = firstPause << n
	}
	return d/2 + rand.N(d/2+1)
}

// route is where a group's request goes. It is asked once an attempt.
//
// Order: this node if it leads; the hint, unless it just failed; the primary;
// then the holders in turn. A node that does not answer comes last: a request
// to one that hangs would wait for nothing.
func (g *Gateway) route(t *Table, group uint32, attempt int, failed string) (to membership.NodeID, ok bool) {
	if local, held := g.cfg.Host.Group(group); held && local.IsLeader() {
		return g.cfg.Self, true
	}
	if name := g.hints.get(group); name != "" && name != failed {
		if to, ok = t.node(name); ok && g.answers(to) {
			return to, true
		}
	}
	a, known := t.Assignments[group]
	if !known {
		return membership.NodeID{}, false
	}
	return g.oneOf(t, a.Nodes(), attempt, failed)
}

// oneOf gives the first of these nodes, from the attempt's on, that did not
// just fail; one that answers, if there is any.
func (g *Gateway) oneOf(t *Table, names []string, attempt int, failed string) (to membership.NodeID, ok bool) {
	var silent membership.NodeID
	for i := range names {
		name := names[(attempt+i)%len(names)]
		if name == failed && len(names) > 1 {
			continue
		}
		id, known := t.node(name)
		switch {
		case !known:
		case g.answers(id):
			return id, true
		case !ok:
			silent, ok = id, true
		}
	}
	return silent, ok
}

// answers reports whether a node was heard lately.
func (g *Gateway) answers(id membership.NodeID) bool {
	if id == g.cfg.Self {
		return true
	}
	state, _ := g.cfg.Liveness.Seen(id)
	return state == membership.NodeUp
}
