package raftgroup

import (
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// NoteRoot remembers, for Status, the root of this replica at a cut that was
// hashed elsewhere than in Root: a copy was proven against it.
func (g *Group) NoteRoot(root digest.ID, at storage.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.Index >= g.rootAt.Index {
		g.root, g.rootAt = root, at
	}
}

// noteInstalled remembers the root of what was installed. The one before was of
// data that is no more, whatever its index.
func (g *Group) noteInstalled(i *Installation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.root, g.rootAt = digest.Root(i.Manifest), i.Cut.Position
	if !i.InPlace {
		g.files++
	}
}

// filesSoFar tells the shard's files apart: what was found in an earlier one is not
// in this one.
func (g *Group) filesSoFar() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.files
}
