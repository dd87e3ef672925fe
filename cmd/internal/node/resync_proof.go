package node

import (
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// noteProof shows the proof of a copy that was installed here in the tables, as
// its leader does: both have that root at that index.
func (m *resyncs) noteProof(group uint32, r *resync.Report) {
	if r == nil || !r.Installed || r.Root == "" {
		return
	}
	root, err := digest.ParseID(r.Root)
	g, unknown := m.groupOf(group)
	if err != nil || unknown != nil {
		return
	}
	g.NoteRoot(root, storage.Position{Index: r.CutIndex, Term: r.CutTerm})
}
