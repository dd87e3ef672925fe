package raftgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// An agreement is what the leaves of a group held at a place of its log where all replicas were found equal. Each
// replica keeps the newest that it was told, in a file beside its shard: where two replicas differ later and nobody has a
// majority, it is the base from which the log is replayed. It is worth nothing else, and may be lost at any time: it is
// not synced, and one that does not add up to its root is none.

// Agreement is one.
type Agreement struct {
	Lineage string
	Index   uint64
	Entries []digest.Entry // in leaf order
}

func (h *Host) agreementPath(group uint32) string {
	return filepath.Join(filepath.Dir(h.shardPath(group)), "agreed")
}

// Agree keeps an agreement in place of the one before.
func (g *Group) Agree(a Agreement) error {
	path := g.host.agreementPath(g.id)
	g.agreeing.Lock()
	defer g.agreeing.Unlock()
	err := os.WriteFile(path+".new", a.encode(), 0o640)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keep agreement of group %d: %w", g.id, err)
	}
	return nil
}

// Agreement gives the newest; false where there is none that can be read.
func (g *Group) Agreement() (Agreement, bool, error) {
	b, err := os.ReadFile(g.host.agreementPath(g.id))
	if errors.Is(err, fs.ErrNotExist) {
		return Agreement{}, false, nil
	}
	if err != nil {
		return Agreement{}, false, fmt.Errorf("read agreement of group %d: %w", g.id, err)
	}
	a, err := decodeAgreement(b)
	return a, err == nil, nil
}
