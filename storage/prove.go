package storage

import (
	"context"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Prove is a keyed sum over all leaf bytes of the view: two shards with equal points give the same one, and nobody gives
// it who has not read all of them after the key was chosen.
func (v *View) Prove(ctx context.Context, key []byte) (digest.ID, error) {
	return digest.ID{}, ErrStaging
}

// Prove is the sum that View.Prove gives of a shard with the manifest's leaves, over bytes that are read from disk now: the
// stage is committed, closed and opened again, and the system's copies of stage and base in memory are dropped where that
// is possible (Linux).
func (a Assembly) Prove(ctx context.Context, key []byte) (digest.ID, error) {
	return digest.ID{}, ErrStaging
}
