package node

import (
	"sync"

	"github.com/flotilla-db/flotilla/membership"
)

// identityBook is the identity of a running node: every change is on disk
// before anybody sees it.
type identityBook struct {
	dir string

	mu sync.Mutex
	id Identity // guarded by mu; equal to the file
}

func (b *identityBook) get() Identity {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id
}

func (b *identityBook) update(change func(*Identity)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.id
	change(&id)
	if err := writeIdentity(b.dir, id); err != nil {
		return err
	}
	b.id = id
	return nil
}

// promise writes down which nodes this one will make a cluster with.
func (b *identityBook) promise(set []membership.NodeID) error {
	return b.update(func(id *Identity) {
		id.Promised = nil
		for _, n := range set {
			id.Promised = append(id.Promised, n.String())
		}
	})
}

// promised is what was written down; entries that are no node ids are not ours
// and make no promise.
func (b *identityBook) promised() []membership.NodeID {
	var set []membership.NodeID
	for _, text := range b.get().Promised {
		if n, err := membership.ParseNodeID(text); err == nil {
			set = append(set, n)
		}
	}
	return set
}
