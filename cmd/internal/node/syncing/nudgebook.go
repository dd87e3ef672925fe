package syncing

import (
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// nudgeAgain is the pause before a node is told again about the same replica.
	nudgeAgain = 3 * time.Second
	// nudgeForget is how long an answer is worth showing.
	nudgeForget = time.Minute
)

// nudgeBook keeps whom this node has told about replicas that need a look, what
// they answered, and which of its own it was told about.
type nudgeBook struct {
	wake chan struct{} // holds at most one wake

	mu   sync.Mutex
	told map[nudgeKey]nudgeTold // guarded by mu
	own  map[uint32]bool        // guarded by mu: groups of this node
}

type nudgeKey struct {
	group uint32
	node  membership.NodeID
}

type nudgeTold struct {
	at     time.Time
	known  bool // it has answered
	answer nudgeAnswer
}

// nudgeAnswer is what the node of a replica makes of a nudge.
type nudgeAnswer struct {
	Takes bool   `json:"takes"` // it copies, or will
	Why   string `json:"why"`   // one line: how far it is, or what hinders it
}

func newNudgeBook() *nudgeBook {
	return &nudgeBook{wake: make(chan struct{}, 1), told: make(map[nudgeKey]nudgeTold), own: make(map[uint32]bool)}
}

// due reports whether a node may be told about a replica now, and notes it.
func (b *nudgeBook) due(k nudgeKey, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := b.told[k]
	if now.Sub(told.at) < nudgeAgain {
		return false
	}
	told.at = now
	b.told[k] = told
	return true
}

func (b *nudgeBook) answered(k nudgeKey, a nudgeAnswer, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told[k] = nudgeTold{now, true, a}
	for k, told := range b.told {
		if now.Sub(told.at) > nudgeForget {
			delete(b.told, k)
		}
	}
}

// last is what a node answered of late about a replica.
func (b *nudgeBook) last(k nudgeKey) (nudgeAnswer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := b.told[k]
	return told.answer, told.known
}

// note remembers that this node was told about its replica.
func (b *nudgeBook) note(group uint32) {
	b.mu.Lock()
	b.own[group] = true
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take gives what was noted, once.
func (b *nudgeBook) take() map[uint32]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.own
	b.own = make(map[uint32]bool)
	return own
}
