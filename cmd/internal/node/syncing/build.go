package syncing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// copyAtOnce is how many bytes of leaves are copied locally between two looks at
// the context.
const copyAtOnce = 8 << 20

// shardBuild is a stage file, and what stands behind it, as a resync builds on it.
type shardBuild struct {
	stage    *storage.Stage
	base     *storage.View // what leaves are copied from; nil: nothing can be read
	assembly storage.Assembly
	// What the stage becomes when it holds all; state nil: it goes into the replica's own file.
	identity storage.Identity
	state    []byte
}

// Open implements resync.Held. A stage that belongs to something else, or that
// is damaged, is made anew: it holds nothing that cannot be fetched, and nobody
// else has it open.
func (h *heldReplica) Open(_ context.Context, b resync.Blueprint) (resync.Build, error) {
	if err := os.MkdirAll(filepath.Dir(b.Path), 0o750); err != nil {
		return nil, fmt.Errorf("open stage of group %d: %w", h.group.ID(), err)
	}
	o := h.stage
	o.Path = b.Path
	o.Identity = storage.Identity{ClusterID: h.cluster, Group: h.group.ID(), Lineage: b.Lineage}
	stage, err := storage.OpenStage(o)
	if errors.Is(err, storage.ErrIdentity) || errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrInUse) {
		if err = storage.RemoveStage(b.Path); err == nil {
			stage, err = storage.OpenStage(o)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open stage of group %d: %w", h.group.ID(), err)
	}
	build := &shardBuild{stage: stage, base: h.hold.View(), assembly: storage.Assembly{Stage: stage, Manifest: b.Manifest}}
	if b.InPlace {
		build.assembly.Base = build.base
	} else {
		build.identity, build.state = o.Identity, b.State
	}
	return build, nil
}

// Put implements resync.Gathering.
func (b *shardBuild) Put(leafBytes []byte, want digest.Entry) error {
	return b.stage.Put(leafBytes, want)
}

// Copy implements resync.Gathering.
func (b *shardBuild) Copy(ctx context.Context, leaves []digest.Entry, progress func(bytes int64)) error {
	if b.base == nil {
		return nil
	}
	for len(leaves) > 0 {
		n, bytes := 0, uint64(0)
		for n < len(leaves) && (n == 0 || bytes+leaves[n].Bytes <= copyAtOnce) {
			bytes += leaves[n].Bytes
			n++
		}
		failed, err := b.stage.CopyFrom(ctx, b.base, leaves[:n])
		if err != nil {
			return err
		}
		for _, e := range failed {
			bytes -= min(bytes, e.Bytes)
		}
		progress(int64(bytes))
		leaves = leaves[n:]
	}
	return nil
}

// Drop implements resync.Gathering.
func (b *shardBuild) Drop(leaves ...digest.Leaf) error { return b.stage.Drop(leaves...) }

// Commit implements resync.Gathering. A stage that holds all of the manifest is
// sealed in the same transaction: what is proven then is what is installed, and
// nothing of it is written again.
func (b *shardBuild) Commit() error {
	if b.state != nil {
		if err := b.stage.Seal(b.identity, b.state, b.assembly.Manifest); !errors.Is(err, storage.ErrIncomplete) {
			return err
		}
	}
	return b.stage.Commit()
}

// Staged implements resync.Proving.
func (b *shardBuild) Staged(context.Context) ([]digest.Entry, error) {
	have, err := b.stage.Leaves()
	if err != nil {
		return nil, err
	}
	wanted := make(map[digest.Leaf]digest.ID, len(b.assembly.Manifest))
	for _, e := range b.assembly.Manifest {
		wanted[e.Leaf] = e.ID
	}
	staged := have[:0]
	for _, e := range have {
		if id, ok := wanted[e.Leaf]; ok && id == e.ID {
			staged = append(staged, e)
		}
	}
	return staged, nil
}

// Prove implements resync.Proving.
func (b *shardBuild) Prove(ctx context.Context, key []byte, progress func(bytes int64)) (digest.ID, error) {
	a := b.assembly
	a.Proven = progress
	return a.Prove(ctx, key)
}

// Damaged implements resync.Proving.
func (b *shardBuild) Damaged(ctx context.Context) ([]digest.Leaf, error) {
	return b.assembly.Damaged(ctx)
}

// Close implements resync.Proving.
func (b *shardBuild) Close() error { return b.stage.Close() }
