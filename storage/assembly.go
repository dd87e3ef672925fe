package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// Assembly is a replica in the making: the leaves of a manifest, each from the stage if it has that content, else from
// the base.
type Assembly struct {
	Stage    *Stage // nil: none, for Missing alone
	Base     *View  // nil: none
	Manifest []digest.Entry
	Proven   func(bytes int64) // told by Prove of what it has summed, by several goroutines; nil: nobody
}

// sources says where each leaf of the manifest comes from.
func (a Assembly) sources() ([]leafSource, []digest.Leaf, error) {
	sources, leaves := make([]leafSource, len(a.Manifest)), make([]digest.Leaf, len(a.Manifest))
	for i, e := range a.Manifest {
		leaves[i] = e.Leaf
		switch {
		case a.Stage.has(e):
			sources[i] = a.Stage
		case a.Base != nil:
			sources[i] = a.Base
		default:
			return nil, nil, fmt.Errorf("%w: %v is one", ErrIncomplete, e.Leaf)
		}
	}
	return sources, leaves, nil
}

// Missing lists what neither stage nor base has with that content, trusting stored digests. Leaves of the base that cannot
// be read, or that Damaged has found to be bad, count as missing.
func (a Assembly) Missing(ctx context.Context) ([]digest.Entry, error) {
	var missing []digest.Entry
	for _, e := range a.Manifest {
		if !a.Stage.has(e) {
			missing = append(missing, e)
		}
	}
	if a.Base == nil {
		return missing, nil
	}
	has, err := a.Base.hasAll(ctx, missing)
	if err != nil {
		return nil, fmt.Errorf("compare with the manifest: %w", err)
	}
	for i := range has {
		has[i] = !has[i]
	}
	return Assembly{Manifest: missing}.picked(has), nil
}

func (a Assembly) picked(which []bool) (picked []digest.Entry) {
	for i, yes := range which {
		if yes {
			picked = append(picked, a.Manifest[i])
		}
	}
	return picked
}

// has reports whether a leaf has the wanted content, going by its stored digest if there is one. What is damaged has no
// content.
func (v *View) has(ctx context.Context, want digest.Entry) (bool, error) {
	if v.distrusts(want.Leaf) {
		return false, nil
	}
	d, ok, err := v.stored(want.Leaf)
	if err == nil && !ok {
		if d, err = v.Digest(ctx, want.Leaf); err == nil && d.Points > 0 {
			v.offer([]digest.Entry{{Leaf: want.Leaf, LeafDigest: d}})
		}
	}
	if errors.Is(err, ErrDamaged) {
		v.distrust(want.Leaf)
		return false, nil
	}
	return err == nil && d == want.LeafDigest, err
}

// Damaged lists the leaves whose bytes on disk are not what the manifest says. Drop them from the stage; those of the base
// are missing from now on.
func (a Assembly) Damaged(ctx context.Context) ([]digest.Leaf, error) {
	if err := a.Stage.Commit(); err != nil {
		return nil, err
	}
	sources, leaves, err := a.sources()
	if err != nil {
		return nil, fmt.Errorf("look for damage: %w", err)
	}
	bad := make([]bool, len(leaves))
	err = parallel(ctx, len(leaves), func(ctx context.Context, i int) error {
		d, err := sources[i].hash(ctx, digest.NewLeafHasher(leaves[i], uint32(blocks.FormatVersion)), leaves[i])
		bad[i] = errors.Is(err, ErrDamaged) || err == nil && d != a.Manifest[i].LeafDigest
		if bad[i] {
			if v, ok := sources[i].(*View); ok {
				v.distrust(leaves[i])
			}
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for damage: %w", err)
	}
	var list []digest.Leaf
	for _, e := range a.picked(bad) {
		list = append(list, e.Leaf)
	}
	return list, nil
}

// distrust remembers that what a leaf's stored digest says is not what lies on disk.
func (v *View) distrust(leaf digest.Leaf) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.bad == nil {
		v.bad = make(map[digest.Leaf]bool)
	}
	v.bad[leaf] = true
}

func (v *View) distrusts(leaf digest.Leaf) bool {
	if v.shard.bad.has(leaf) {
		return true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.bad[leaf]
}
