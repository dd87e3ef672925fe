package syncing

import (
	"sync"

	"github.com/flotilla-db/flotilla/membership"
)

// namedLeaders remembers who leads groups whose leader is not heard here: as
// many as there are groups at most.
type namedLeaders struct {
	mu sync.Mutex
	of map[uint32]membership.NodeID // guarded by mu
}

func newNamedLeaders() *namedLeaders {
	return &namedLeaders{of: make(map[uint32]membership.NodeID)}
}

func (l *namedLeaders) get(group uint32) (membership.NodeID, bool) {
	if l == nil {
		return membership.NodeID{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id, ok := l.of[group]
	return id, ok
}

func (l *namedLeaders) set(group uint32, id membership.NodeID) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[group] = id
}

// forget forgets a node that does not lead; false if it was not remembered.
func (l *namedLeaders) forget(group uint32, id membership.NodeID) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.of[group]; !ok || known != id {
		return false
	}
	delete(l.of, group)
	return true
}
