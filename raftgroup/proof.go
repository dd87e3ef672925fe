package raftgroup

import (
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// NoteRoot remembers, for Status, the root that this replica's data has at a
// cut which was hashed without Root: a copy was proven there. What was known
// before may be of data that the copy has replaced.
func (g *Group) NoteRoot(root digest.ID, at storage.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.root, g.rootAt = root, at
}
